//! Mails: one template each, in `mails/`. Its first line is the subject; the body follows after a blank line.

use minijinja::value::Serde;
use minijinja::{AutoEscape, Environment, Error, ErrorKind, UndefinedBehavior};
use serde::Serialize;

use super::model::{Kind, Mail};

/// The templates, read.
pub(super) struct Mails {
    templates: Environment<'static>,
}

impl Mails {
    pub(super) fn new() -> Result<Self, Error> {
        let mut templates = Environment::new();
        // A mail with a hole in it is not sent.
        templates.set_undefined_behavior(UndefinedBehavior::Strict);
        // They are plain text: what is in a name means nothing in there.
        templates.set_auto_escape_callback(|_| AutoEscape::None);
        templates.add_filter("money", money);
        templates.add_template(Kind::UserRegistered.as_str(), include_str!("mails/user-registered.txt"))?;
        templates.add_template(Kind::OrderCompleted.as_str(), include_str!("mails/order-completed.txt"))?;
        Ok(Self { templates })
    }

    /// The mail about an event of this kind.
    pub(super) fn about<T: Serialize>(&self, kind: Kind, data: &T) -> Result<Mail, Error> {
        let text = self.templates.get_template(kind.as_str())?.render(Serde(data))?;
        let (subject, body) = text
            .strip_prefix("Subject: ")
            .and_then(|text| text.split_once("\n\n"))
            .filter(|(subject, _)| !subject.contains(char::is_control))
            .ok_or_else(|| {
                Error::new(ErrorKind::InvalidOperation, "a mail begins with the line of its subject and a blank one")
            })?;
        Ok(Mail { subject: subject.to_owned(), body: body.to_owned() })
    }
}

/// Cents as people write them: `12.34 USD`.
fn money(cents: i64, currency: &str) -> String {
    format!("{}.{:02} {currency}", cents / 100, cents % 100)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use serde::de::DeserializeOwned;
    use serde_json::{Value, json};

    use super::super::cloud_event::Data;
    use super::super::model::{OrderCompleted, UserRegistered};
    use super::*;

    fn mail<T: Data + DeserializeOwned + Serialize>(data: Value) -> Mail {
        let data: T = serde_json::from_value(data).unwrap();
        Mails::new().unwrap().about(T::KIND, &data).unwrap()
    }

    #[test]
    fn who_registers_is_welcomed_by_name_as_it_is_written() {
        let mail = mail::<UserRegistered>(json!({"user_id": 5, "email": "ada@example.com", "first_name": "Ada <3 & {{ x }}"}));
        assert_eq!(mail.subject, "Welcome to the shop, Ada <3 & {{ x }}");
        let body = "Hello Ada <3 & {{ x }},\n\nyour account is open. You log in with ada@example.com.\n\nThe shop";
        assert_eq!(mail.body, body);
    }

    #[test]
    fn who_ordered_is_told_what_and_for_how_much() {
        let items = json!([{"product_id": 7, "quantity": 2, "unit_price": 100}, {"product_id": 9, "quantity": 1}]);
        let order = json!({"order_id": 3, "user_id": 5, "amount": 120_305, "currency": "USD", "items": items});
        let mail = mail::<OrderCompleted>(order);
        assert_eq!(mail.subject, "Your order 3 is complete");
        let body = "Hello,\n\nthank you for your order 3:\n\n2 × product 7, 1.00 USD each\n1 × product 9\n\n\
                    Paid from your balance: 1203.05 USD\n\nThe shop";
        assert_eq!(mail.body, body);
    }

    #[test]
    fn money_has_two_digits_after_the_point() {
        for (cents, text) in [(1, "0.01 USD"), (99, "0.99 USD"), (100, "1.00 USD"), (10_000_000_000, "100000000.00 USD")] {
            assert_eq!(money(cents, "USD"), text);
        }
    }
}
