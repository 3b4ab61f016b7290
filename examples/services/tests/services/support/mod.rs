pub(crate) mod database;
mod postgres;
pub(crate) mod service;

/// Makes two tests of each promise, one per kind of database. A promise is an `async fn` of a
/// [`Database`](database::Database) that is empty.
macro_rules! on_each_database {
    ($($promise:ident),+ $(,)?) => {
        mod sqlite {
            $(
                #[tokio::test]
                async fn $promise() {
                    super::$promise($crate::support::database::Database::sqlite()).await;
                }
            )+
        }

        mod postgres {
            $(
                #[tokio::test]
                async fn $promise() {
                    super::$promise($crate::support::database::Database::postgres().await).await;
                }
            )+
        }
    };
}
