//! What can be wrong with books.

use super::Said;

/// One place where the books do not fit. Says everything that is needed to find it: orders and transactions by number,
/// sagas by id (`refrain sagas show ID`).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Discrepancy {
    /// Money came from nowhere, or went there.
    #[error(
        "the sums do not fit: {balances} on all accounts and {complete} in complete orders are {}, and {charged} was charged",
        balances + complete
    )]
    Sums {
        /// The sum of all balances, in cents.
        balances: i64,
        /// The sum of all complete orders.
        complete: i64,
        /// The sum of all charges.
        charged: i64,
    },
    /// An account's balance is not the sum of its transactions.
    #[error("account {account} of user {user} has {balance}, and its transactions give {by_transactions}")]
    Balance {
        /// The account.
        account: i64,
        /// Whose it is.
        user: i64,
        /// What it has, in cents.
        balance: i64,
        /// What it should have.
        by_transactions: i64,
    },
    /// A transaction on an account that is not there.
    #[error("transaction {transaction} is on account {account}, which is not there")]
    NoAccount {
        /// The transaction.
        transaction: i64,
        /// The account it names.
        account: i64,
    },
    /// An order that nobody finishes.
    #[error("order {order} ({reference}) is left {status}")]
    LeftBetween {
        /// The order.
        order: i64,
        /// Its status.
        status: String,
        /// Its reference.
        reference: String,
    },
    /// Something that a saga did is not marked as its own.
    #[error("{what} has the reference {reference}, which is not that of a saga's step")]
    NotOfASaga {
        /// `order 1` or `transaction 1`.
        what: String,
        /// Its reference.
        reference: String,
    },
    /// A saga made more than one order.
    #[error("saga {saga} made the orders {orders:?}")]
    SeveralOrders {
        /// The saga.
        saga: String,
        /// Its orders.
        orders: Vec<i64>,
    },
    /// A saga's payments and refunds are not what its order's status says.
    #[error(
        "saga {saga}: order {order} of {amount} is {status}, and has the payments {payments} and the refunds {refunds} \
         (transaction: cents)"
    )]
    NotPaidAsItIs {
        /// The saga.
        saga: String,
        /// Its order.
        order: i64,
        /// What it costs, in cents.
        amount: i64,
        /// Its status.
        status: String,
        /// Its payments, as `7: 200, 8: 200`.
        payments: String,
        /// Its refunds.
        refunds: String,
    },
    /// A payment or a refund for another user's order.
    #[error("saga {saga}: order {order} is user {user}'s, and transaction {transaction} is on account {account}")]
    OthersMoney {
        /// The saga.
        saga: String,
        /// Its order.
        order: i64,
        /// Whose it is; 0: nobody's.
        user: i64,
        /// The transaction.
        transaction: i64,
        /// On whose account it is.
        account: i64,
    },
    /// Money moved for an order that is not there.
    #[error("saga {saga} has no order, and moved money: payments {payments}, refunds {refunds} (transaction: cents)")]
    PaidForNothing {
        /// The saga.
        saga: String,
        /// Its payments.
        payments: String,
        /// Its refunds.
        refunds: String,
    },
    /// Charges under one reference.
    #[error("the charge {reference} was made {} times: transactions {transactions:?}", transactions.len())]
    ChargedTwice {
        /// Its reference, which is the client's key.
        reference: String,
        /// The transactions.
        transactions: Vec<i64>,
    },
    /// Different answers under one key.
    #[error("the key {key} of user {user} was answered in different ways: {answers:?}")]
    Contradiction {
        /// The key.
        key: String,
        /// Whose it is.
        user: i64,
        /// What was said.
        answers: Vec<Said>,
    },
    /// A key that nobody answered.
    #[error("the key {key} of user {user} was never decided")]
    Undecided {
        /// The key.
        key: String,
        /// Whose it is.
        user: i64,
    },
    /// What a client was told is done, is not there or is something else.
    #[error("user {user} was told under the key {key} that {what} {id} of {amount} is done: {instead}")]
    NotAsTold {
        /// The key.
        key: String,
        /// Who was told.
        user: i64,
        /// `order` or `charge`.
        what: &'static str,
        /// Its number.
        id: i64,
        /// In cents.
        amount: i64,
        /// What is there.
        instead: String,
    },
    /// Two keys, one thing.
    #[error("{what} {id} is the answer to several keys: {keys:?}")]
    SharedByKeys {
        /// `order` or `charge`.
        what: &'static str,
        /// Its number.
        id: i64,
        /// The keys.
        keys: Vec<String>,
    },
    /// Something was done that no client was told of.
    #[error("{what} {id} ({reference}) is done, and no key was told so")]
    NobodyWasTold {
        /// `order` or `charge`.
        what: &'static str,
        /// Its number.
        id: i64,
        /// Its reference.
        reference: String,
    },
    /// What was refused was done.
    #[error(
        "user {user} was told under the key {key} that the charge is refused ({status}), and it is transaction {transaction}"
    )]
    RefusedAndDone {
        /// The key.
        key: String,
        /// Who was told.
        user: i64,
        /// The status that said so.
        status: u16,
        /// The transaction.
        transaction: i64,
    },
    /// More orders were cancelled than keys were refused.
    #[error("user {user} has {cancelled} cancelled orders and {refused} refused keys")]
    TooManyCancelled {
        /// The user; 0: nobody.
        user: i64,
        /// Its cancelled orders.
        cancelled: usize,
        /// Its keys that were refused an order.
        refused: usize,
    },
    /// An event of which there is more than one mail.
    #[error("the event {event} was mailed {} times: mails {mails:?}", mails.len())]
    MailedTwice {
        /// The event's id.
        event: String,
        /// The mails.
        mails: Vec<i64>,
    },
    /// A mail about an order that is not complete.
    #[error("mail {mail} tells of an order of saga {saga}, which has none that is complete")]
    MailedForNothing {
        /// The mail.
        mail: i64,
        /// The saga.
        saga: String,
    },
    /// A user who has no account.
    #[error("user {user} has no account")]
    UserWithoutAccount {
        /// The user.
        user: i64,
    },
    /// An account whose user is not there.
    #[error("account {account} is of user {user}, who is not there")]
    AccountWithoutUser {
        /// The account.
        account: i64,
        /// The user it names.
        user: i64,
    },
}
