//! Tests that choose their store themselves, each for the reason that its file tells. Everything beside this folder goes
//! through once on SQLite and once on PostgreSQL (`TEST_STORE=postgres`, see [`crate::support::store`]); these are left
//! out of the second round, where they would only repeat the first.

mod a_full_disk;
mod chaos;
mod keys;
mod one_server_per_data_folder;
mod replicas_refresh_once;
mod replicas_share_a_database;
mod replicas_share_the_callback;
