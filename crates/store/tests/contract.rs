//! SQLite keeps the contract.

mod common;

use common::OnDisk;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sqlite_keeps_the_contract() {
    store::contract::check(OnDisk::fresh).await;
}
