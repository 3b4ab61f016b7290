//! Holding the books against each other, and against what clients were told.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use super::{Account, Books, Discrepancy, Order, Report, Said, Told, Transaction, Wish};

/// The digits of a saga's id, with which the keys of its steps begin.
const SAGA_ID_DIGITS: usize = 32;

/// The kind of a mail about an order.
const ORDER_MAIL: &str = "order-completed";

/// The sums of the books, in cents, and how many there are of what.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// What is on all accounts.
    pub balances: i64,
    /// What all complete orders cost.
    pub complete: i64,
    /// What was put on accounts.
    pub charged: i64,
    /// How many orders are complete.
    pub complete_orders: usize,
    /// How many orders were cancelled.
    pub cancelled_orders: usize,
    /// How many payments there are.
    pub payments: usize,
    /// How many of them were given back.
    pub refunds: usize,
    /// How many charges there are.
    pub charges: usize,
    /// How many orders were told by mail. A mail that cannot be sent takes no order back, so these may be fewer.
    pub mails: usize,
}

/// All that one saga left behind.
#[derive(Default)]
struct Trace<'a> {
    orders: Vec<&'a Order>,
    payments: Vec<&'a Transaction>,
    refunds: Vec<&'a Transaction>,
}

impl fmt::Display for Totals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { balances, complete, charged, complete_orders, payments, refunds, cancelled_orders, mails, .. } = self;
        let sign = if balances + complete == *charged { "=" } else { "≠" };
        write!(
            f,
            "balances {balances} + complete orders {complete} {sign} charges {charged} cents \
             ({complete_orders} complete and {cancelled_orders} cancelled orders, {payments} payments, {refunds} refunds, \
             {mails} mails)"
        )
    }
}

impl Books {
    /// Checks everything that must hold when nothing moves any more, and that it fits what clients were `told`.
    pub fn audit(&self, told: &[Told]) -> Report {
        let totals = self.totals();
        let mut found = Vec::new();
        let Totals { balances, complete, charged, .. } = totals;
        if balances + complete != charged {
            found.push(Discrepancy::Sums { balances, complete, charged });
        }
        self.audit_accounts(&mut found);
        self.audit_sagas(&mut found);
        self.audit_charges(&mut found);
        self.audit_mails(&mut found);
        self.audit_users(&mut found);
        self.audit_told(told, &mut found);
        Report { totals, discrepancies: found }
    }

    fn totals(&self) -> Totals {
        let with_status = |status: &'static str| self.orders.iter().filter(move |order| order.status == status);
        let of_kind = |kind: &'static str| self.transactions.iter().filter(move |transaction| transaction.kind == kind);
        Totals {
            balances: self.accounts.iter().map(|account| account.balance).sum(),
            complete: with_status("complete").map(|order| order.amount).sum(),
            charged: of_kind("charge").map(|charge| charge.amount).sum(),
            complete_orders: with_status("complete").count(),
            cancelled_orders: with_status("cancelled").count(),
            payments: of_kind("payment").count(),
            refunds: of_kind("payment_refund").count(),
            charges: of_kind("charge").count(),
            mails: self.mails.iter().filter(|mail| mail.kind == ORDER_MAIL).count(),
        }
    }

    /// Each balance is the sum of its transactions.
    fn audit_accounts(&self, found: &mut Vec<Discrepancy>) {
        let mut moved: BTreeMap<i64, i64> = self.accounts.iter().map(|account| (account.id, 0)).collect();
        for Transaction { id, account_id, kind, amount, .. } in &self.transactions {
            match moved.get_mut(account_id) {
                Some(sum) => *sum += if kind == "payment" { -amount } else { *amount },
                None => found.push(Discrepancy::NoAccount { transaction: *id, account: *account_id }),
            }
        }
        for Account { id, user_id, balance } in &self.accounts {
            if moved[id] != *balance {
                let (account, user) = (*id, *user_id);
                found.push(Discrepancy::Balance { account, user, balance: *balance, by_transactions: moved[id] });
            }
        }
    }

    /// Each saga made one order and paid it once, or left nothing that counts.
    fn audit_sagas(&self, found: &mut Vec<Discrepancy>) {
        let mut traces: BTreeMap<&str, Trace<'_>> = BTreeMap::new();
        for order in &self.orders {
            match saga_of(order.reference.as_deref()) {
                Some(saga) => traces.entry(saga).or_default().orders.push(order),
                None => found.push(not_of_a_saga("order", order.id, order.reference.as_deref())),
            }
        }
        for transaction in self.transactions.iter().filter(|transaction| transaction.kind != "charge") {
            let Some(saga) = saga_of(transaction.reference.as_deref()) else {
                found.push(not_of_a_saga("transaction", transaction.id, transaction.reference.as_deref()));
                continue;
            };
            let trace = traces.entry(saga).or_default();
            if transaction.kind == "payment" { &mut trace.payments } else { &mut trace.refunds }.push(transaction);
        }
        let owners: BTreeMap<i64, i64> = self.accounts.iter().map(|account| (account.id, account.user_id)).collect();
        for (saga, trace) in traces {
            trace.audit(saga, &owners, found);
        }
    }

    /// No charge was made twice.
    fn audit_charges(&self, found: &mut Vec<Discrepancy>) {
        for (reference, transactions) in self.charges() {
            if transactions.len() > 1 {
                let transactions = transactions.iter().map(|charge| charge.id).collect();
                found.push(Discrepancy::ChargedTwice { reference: reference.to_owned(), transactions });
            }
        }
    }

    /// Of each event there is one mail at most, and of an order only if it is complete.
    fn audit_mails(&self, found: &mut Vec<Discrepancy>) {
        let complete = self.orders.iter().filter(|order| order.status == "complete");
        let complete: BTreeSet<&str> = complete.filter_map(|order| saga_of(order.reference.as_deref())).collect();
        let mut events: BTreeMap<&str, Vec<i64>> = BTreeMap::new();
        for mail in &self.mails {
            events.entry(&mail.event_id).or_default().push(mail.id);
            let saga = saga_of(Some(&mail.event_id)).unwrap_or(&mail.event_id);
            if mail.kind == ORDER_MAIL && !complete.contains(saga) {
                found.push(Discrepancy::MailedForNothing { mail: mail.id, saga: saga.to_owned() });
            }
        }
        let twice = events.into_iter().filter(|(_, mails)| mails.len() > 1);
        found.extend(twice.map(|(event, mails)| Discrepancy::MailedTwice { event: event.to_owned(), mails }));
    }

    /// Who has registered has an account, and nobody else.
    fn audit_users(&self, found: &mut Vec<Discrepancy>) {
        let users: BTreeSet<i64> = self.users.iter().copied().collect();
        let owners: BTreeSet<i64> = self.accounts.iter().map(|account| account.user_id).collect();
        found.extend(users.difference(&owners).map(|user| Discrepancy::UserWithoutAccount { user: *user }));
        let ownerless = self.accounts.iter().filter(|account| !users.contains(&account.user_id));
        found.extend(ownerless.map(|one| Discrepancy::AccountWithoutUser { account: one.id, user: one.user_id }));
    }

    /// The charges by their references.
    fn charges(&self) -> BTreeMap<&str, Vec<&Transaction>> {
        let mut charges: BTreeMap<&str, Vec<&Transaction>> = BTreeMap::new();
        for charge in self.transactions.iter().filter(|transaction| transaction.kind == "charge") {
            if let Some(reference) = charge.reference.as_deref() {
                charges.entry(reference).or_default().push(charge);
            }
        }
        charges
    }

    /// Each key has one answer, each answer is true, and nothing was done of which nobody was told.
    fn audit_told(&self, told: &[Told], found: &mut Vec<Discrepancy>) {
        if told.is_empty() {
            return;
        }
        let mut keys: BTreeMap<(i64, &str), Vec<&Told>> = BTreeMap::new();
        for one in told {
            keys.entry((one.user_id, &one.key)).or_default().push(one);
        }
        let mut done: BTreeMap<(&'static str, i64), Vec<String>> = BTreeMap::new();
        let mut refused: BTreeMap<i64, usize> = BTreeMap::new();
        let mut is_all_decided = true;
        for ((user, key), told) in keys {
            let answers: BTreeSet<Said> = told.iter().map(|one| one.answer).collect();
            if answers.contains(&Said::Nothing) {
                is_all_decided = false;
                found.push(Discrepancy::Undecided { key: key.to_owned(), user });
            }
            if answers.iter().filter(|answer| **answer != Said::Nothing).count() > 1 {
                let answers = answers.iter().copied().collect();
                found.push(Discrepancy::Contradiction { key: key.to_owned(), user, answers });
            }
            for answer in answers {
                match (answer, told[0].wish) {
                    (Said::Done(id), wish) => {
                        done.entry((wish.as_str(), id)).or_default().push(key.to_owned());
                        found.extend(self.not_as_told(told[0], id));
                    }
                    (Said::Refused(_), Wish::Order) => *refused.entry(user).or_default() += 1,
                    (Said::Refused(status), Wish::Charge) => found.extend(self.refused_and_done(told[0], status)),
                    (Said::Nothing, _) => {}
                }
            }
        }
        for ((what, id), keys) in &done {
            if keys.len() > 1 {
                found.push(Discrepancy::SharedByKeys { what, id: *id, keys: keys.clone() });
            }
        }
        if is_all_decided {
            self.audit_untold(&done, &refused, found);
        }
    }

    /// Whether something is there that the answers to all keys do not account for.
    fn audit_untold(
        &self,
        done: &BTreeMap<(&'static str, i64), Vec<String>>,
        refused: &BTreeMap<i64, usize>,
        found: &mut Vec<Discrepancy>,
    ) {
        let untold = |what: &'static str, id: i64, reference: Option<&str>| {
            let reference = reference.unwrap_or("no reference").to_owned();
            (!done.contains_key(&(what, id))).then_some(Discrepancy::NobodyWasTold { what, id, reference })
        };
        let complete = self.orders.iter().filter(|order| order.status == "complete");
        found.extend(complete.filter_map(|order| untold(Wish::Order.as_str(), order.id, order.reference.as_deref())));
        let charges = self.transactions.iter().filter(|transaction| transaction.kind == "charge");
        found.extend(charges.filter_map(|charge| untold(Wish::Charge.as_str(), charge.id, charge.reference.as_deref())));
        let mut cancelled: BTreeMap<i64, usize> = BTreeMap::new();
        for order in self.orders.iter().filter(|order| order.status == "cancelled") {
            *cancelled.entry(order.user_id.unwrap_or_default()).or_default() += 1;
        }
        for (user, cancelled) in cancelled {
            let refused = refused.get(&user).copied().unwrap_or_default();
            if cancelled > refused {
                found.push(Discrepancy::TooManyCancelled { user, cancelled, refused });
            }
        }
    }

    /// Whether what was told to be done is there as it was told.
    fn not_as_told(&self, told: &Told, id: i64) -> Option<Discrepancy> {
        let Told { key, user_id, amount, wish, .. } = told;
        let instead = match wish {
            Wish::Order => match self.orders.iter().find(|order| order.id == id) {
                Some(order) if order.status == "complete" && order.user_id == Some(*user_id) && order.amount == *amount => {
                    return None;
                }
                Some(order) => format!("it is {} and costs {}, of user {:?}", order.status, order.amount, order.user_id),
                None => "there is no such order".to_owned(),
            },
            Wish::Charge => match self.transactions.iter().find(|transaction| transaction.id == id) {
                Some(charge) if charge.kind == "charge" && charge.amount == *amount && charge.reference.as_ref() == Some(key) => {
                    return None;
                }
                Some(other) => format!("it is a {} of {} with the reference {:?}", other.kind, other.amount, other.reference),
                None => "there is no such transaction".to_owned(),
            },
        };
        let (key, user, what) = (key.clone(), *user_id, wish.as_str());
        Some(Discrepancy::NotAsTold { key, user, what, id, amount: *amount, instead })
    }

    fn refused_and_done(&self, told: &Told, status: u16) -> Option<Discrepancy> {
        let Told { key, user_id, .. } = told;
        let charge = self.charges().get(key.as_str()).and_then(|charges| charges.first().map(|charge| charge.id));
        charge.map(|transaction| Discrepancy::RefusedAndDone { key: key.clone(), user: *user_id, status, transaction })
    }
}

impl Trace<'_> {
    fn audit(&self, saga: &str, owners: &BTreeMap<i64, i64>, found: &mut Vec<Discrepancy>) {
        let (payments, refunds) = (listed(&self.payments), listed(&self.refunds));
        let order = match self.orders[..] {
            [order] => order,
            [] => {
                found.push(Discrepancy::PaidForNothing { saga: saga.to_owned(), payments, refunds });
                return;
            }
            _ => {
                let orders = self.orders.iter().map(|order| order.id).collect();
                found.push(Discrepancy::SeveralOrders { saga: saga.to_owned(), orders });
                return;
            }
        };
        let amounts = |transactions: &[&Transaction]| transactions.iter().map(|one| one.amount).collect::<Vec<_>>();
        let (paid, refunded) = (amounts(&self.payments), amounts(&self.refunds));
        let is_right = match order.status.as_str() {
            "complete" => paid == [order.amount] && refunded.is_empty(),
            "cancelled" | "refunded" => paid.iter().all(|paid| *paid == order.amount) && paid.len() <= 1 && refunded == paid,
            status => {
                let reference = order.reference.clone().unwrap_or_default();
                found.push(Discrepancy::LeftBetween { order: order.id, status: status.to_owned(), reference });
                true
            }
        };
        if !is_right {
            let (saga, status) = (saga.to_owned(), order.status.clone());
            found.push(Discrepancy::NotPaidAsItIs { saga, order: order.id, amount: order.amount, status, payments, refunds });
        }
        for transaction in self.payments.iter().chain(&self.refunds) {
            if owners.get(&transaction.account_id).copied() != order.user_id {
                let (saga, user) = (saga.to_owned(), order.user_id.unwrap_or_default());
                let (transaction, account) = (transaction.id, transaction.account_id);
                found.push(Discrepancy::OthersMoney { saga, order: order.id, user, transaction, account });
            }
        }
    }
}

impl Wish {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Order => "order",
            Self::Charge => "charge",
        }
    }
}

/// The id of the saga whose step has this key.
fn saga_of(reference: Option<&str>) -> Option<&str> {
    let (saga, _step) = reference?.split_once('-')?;
    let is_id = saga.len() == SAGA_ID_DIGITS && saga.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_id.then_some(saga)
}

fn not_of_a_saga(what: &str, id: i64, reference: Option<&str>) -> Discrepancy {
    Discrepancy::NotOfASaga { what: format!("{what} {id}"), reference: format!("{reference:?}") }
}

fn listed(transactions: &[&Transaction]) -> String {
    let all: Vec<String> = transactions.iter().map(|one| format!("{}: {}", one.id, one.amount)).collect();
    if all.is_empty() { "none".to_owned() } else { all.join(", ") }
}

#[cfg(test)]
mod tests;
