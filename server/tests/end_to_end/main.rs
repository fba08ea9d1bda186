//! The whole path with real processes: connectord, the scripted connector, the filesystem connector. One behaviour per
//! file; what shows an invariant of the design carries its name. Every file is for both stores, and `make test` runs them
//! on each: on SQLite, and with `TEST_STORE=postgres` on PostgreSQL. What chooses its store is in `one_store`.

#![expect(clippy::unwrap_used, reason = "a panic is the failure report, in helpers too")]

#[path = "../support/mod.rs"]
mod support;

mod a_folder_becomes_a_feed;
mod audit;
mod connect_an_account;
mod connect_in_a_browser;
mod connector_health;
mod content;
mod control_api;
mod credentials;
mod cursors_and_violations;
mod deletions;
mod i10_one_bad_item_never_fails_a_run;
mod i11_memory_is_bounded;
mod i12_kill_9_loses_and_doubles_nothing;
mod i1_a_cursor_is_never_ahead_of_its_changes;
mod i2_replays_are_harmless;
mod i3_one_run_at_a_time;
mod i5_absence_deletes_only_what_was_proven_absent;
mod i5_large_sweeps_are_held;
mod i5_lists_find_what_vanished;
mod i5_moves_between_scopes;
mod i5_targeted_confirms_absence;
mod i6_tombstones_reach_every_consumer;
mod i7_permissions;
mod i8_hostile_connectors;
mod i8_no_secret_gets_out;
mod i8_what_a_connector_was_told;
mod i9_a_throttled_run_holds_no_worker;
mod items_and_states_by_hand;
mod metrics;
mod oauth_apps;
mod one_store;
mod organizations;
mod raw_items;
mod refreshes;
mod renormalize;
mod runs;
mod schedules;
mod secret_settings;
mod settings_changes;
mod tls;
mod traces;
