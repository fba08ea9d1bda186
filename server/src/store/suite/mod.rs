//! What every store has to do, written once over `dyn Store` and run on each backend. The tests are functions, one
//! file per entity; [`suite!`] names them all and makes a `#[tokio::test]` of each, for the backends at the foot of
//! this file. A backend is a function that opens an empty store and returns it with what keeps it alive.

mod api_tokens;
mod audit;
mod commits;
mod connections;
mod consumers;
mod credentials;
mod defaults;
mod deletion;
mod documents;
mod due_runs;
mod feed;
mod fences;
mod item_errors;
mod model;
mod oauth_apps;
mod oauth_sessions;
mod overview;
mod raw_items;
mod restored;
mod run_history;
mod run_logs;
mod runs;
mod secrets;
pub(crate) mod support;
mod sync_states;
mod wanted;

/// Stamps the tests for one backend. A test that is missing here is reported as dead code.
macro_rules! suite {
    ($backend:ident) => {
        suite! { @stamp $backend
            connections {
                a_connection_is_read_back_as_it_was_made,
                a_name_is_unique_within_its_organization,
                the_same_request_makes_a_connection_once,
                a_request_id_is_free_again_after_a_day,
                a_request_id_is_an_organizations_own,
                an_update_changes_only_what_it_names,
                an_update_of_an_older_revision_is_refused,
                connections_are_listed_in_pages,
                what_does_not_exist_is_missing,
                a_claim_ends_every_earlier_one,
            }
            deletion {
                nothing_begins_for_a_connection_that_is_being_deleted,
                a_deletion_goes_on_in_batches_and_ends_with_tombstones,
                a_deleted_connection_frees_its_name_and_hides,
                a_deleted_connection_is_forgotten_with_its_last_tombstone,
                beginning_a_deletion_again_is_harmless,
            }
            runs {
                a_queued_run_is_claimed_once_and_in_order,
                a_connection_has_one_active_run,
                a_further_request_makes_a_queued_run_full,
                a_running_run_stays_as_it_is,
                a_parked_run_is_queued_again_when_asked_or_due,
                places_are_shared_by_organisations,
                what_somebody_asked_for_comes_before_what_is_scheduled,
                a_claim_comes_with_what_a_run_needs,
                outcomes_are_written_together_and_each_by_itself,
                runs_do_not_overlap_by_their_times_whatever_clocks_show,
                a_run_goes_only_where_it_may,
                a_success_resets_failures_and_a_listing_is_noted,
                a_run_that_was_cut_off_is_queued_again,
                pauses_are_not_crashes,
                a_run_is_cancelled_wherever_it_stands,
            }
            due_runs {
                a_due_connection_gets_a_run,
                what_is_due_is_looked_at_a_few_at_a_time_whatever_becomes_of_it,
                a_clock_that_was_ahead_leaves_nothing_far_ahead,
                a_stopped_connection_is_not_due,
                downtime_is_caught_up_once,
                what_is_due_while_a_run_goes_on_is_left_out_or_waits,
                what_the_run_under_way_may_have_passed_follows_it,
                a_planned_run_is_due_once,
                a_full_run_is_due_by_its_own_frequency,
                the_next_due_time_is_the_earliest,
                a_failure_pulls_the_next_run_forward_only,
            }
            run_history {
                runs_are_listed_newest_first_in_pages,
                old_runs_are_trimmed_with_their_logs,
                runs_beyond_the_newest_are_trimmed_of_what_ran,
                counts_and_held_sweeps_come_back,
            }
            run_logs {
                a_log_is_read_in_order_and_pages,
                a_log_is_bounded_and_says_what_was_dropped,
                a_log_of_no_run_is_nothing,
            }
            sync_states {
                states_are_read_back_ordered_by_scope,
                an_approval_survives_a_save_and_ends_with_the_hold,
                only_held_scopes_are_approved,
                a_cursor_is_set_by_hand,
                a_reset_forgets_cursors_and_ends_claims,
                a_reset_queues_a_run_under_way_again,
                a_removed_scope_takes_its_rows_with_it,
                shields_go_only_when_a_listing_begins,
            }
            documents {
                a_document_is_read_back_as_it_was_put,
                a_document_without_text_has_none,
                a_deleted_document_is_a_tombstone_and_may_return,
                counts_of_absence_are_per_scope_and_listing,
                absent_documents_come_in_pages,
                a_locator_is_found_within_its_scope,
                what_is_right_under_something_comes_in_order,
                a_container_knows_its_parent,
                whatever_a_source_sends_comes_back,
                a_tombstone_that_was_forgotten_meanwhile_is_no_document_to_write_to,
                old_containers_and_errors_are_found_and_forgotten,
            }
            commits {
                a_commit_is_true_as_a_whole,
                a_failing_commit_leaves_nothing,
                a_document_that_was_forgotten_meanwhile_is_refused,
                the_count_of_documents_is_exact,
            }
            feed {
                offsets_grow_in_the_order_of_commits_and_documents,
                each_document_stands_once_at_its_newest_offset,
                i7_an_envelope_alone_hides_no_text_from_who_has_not_seen_it,
                a_read_is_bounded_by_rows_and_bytes,
                a_filter_passes_over_others_and_moves_on,
                documents_are_listed_in_pages_without_tombstones,
                a_long_text_is_not_in_an_entry,
                i6_the_floor_follows_trimmed_tombstones,
                lag_counts_matching_entries,
                lag_in_time_is_that_of_the_oldest_entry_not_read,
                a_commit_wakes_readers,
                a_commit_whose_caller_left_still_wakes_readers,
                reads_that_are_given_up_cost_nothing,
            }
            fences {
                i3_a_stale_fence_writes_nothing,
                a_fence_of_a_forgotten_connection_is_refused,
            }
            item_errors {
                an_error_that_is_met_again_is_the_same_one,
                errors_are_told_apart_by_scope_and_target,
                errors_come_newest_first_in_pages,
                reading_an_item_clears_its_error,
                an_item_that_left_one_scope_keeps_its_error_in_another,
                reading_an_item_clears_the_error_of_its_locator,
                errors_are_listed_by_scope_and_reason,
                an_error_comes_after_what_it_clears,
                a_wider_shield_stays_wide,
            }
            wanted {
                ids_are_wanted_until_they_are_answered,
                attempts_count_for_a_version,
                item_errors_are_tried_again_by_id_alone,
            }
            raw_items {
                a_raw_item_is_read_back_as_it_was_put,
                raw_items_are_read_in_pages_bounded_by_bytes,
                a_sample_is_spread_over_all,
                a_raw_item_goes_with_its_document,
                a_deletion_by_another_scope_leaves_a_raw_item,
                what_a_listing_did_not_send_goes_where_there_is_no_document,
                permissions_that_come_later_stay_until_the_item_is_sent_again,
                a_failed_normalize_hides_no_document,
                switching_off_ends_an_epoch_and_its_items,
                a_raw_item_of_an_ended_epoch_is_not_kept,
                a_deleted_connection_keeps_no_raw_items,
                versions_that_normalized_are_told,
                a_re_normalization_is_a_run_of_its_own,
                a_schedule_is_followed_after_a_re_normalization,
                a_re_normalization_goes_on_where_it_was,
            }
            consumers {
                a_consumer_is_made_once_and_keeps_its_filter,
                a_position_is_kept,
                consumers_are_listed_in_pages_and_forgotten,
            }
            secrets {
                a_secret_is_kept_as_it_was_first_put,
                what_has_an_older_key_is_walked_over_in_pages,
                what_was_written_meanwhile_is_not_replaced,
            }
            credentials {
                a_credential_is_read_back_as_it_was_put,
                a_write_of_an_older_version_changes_nothing,
                of_many_writes_at_once_one_counts,
                a_removed_credential_leaves_no_secret_and_no_version_twice,
                one_refreshes_and_others_wait_for_its_version,
                nobody_makes_a_refresh_under_way_an_old_one,
                what_is_due_is_told_once_nobody_refreshes_it,
                secrets_go_with_their_connection,
            }
            oauth_apps {
                an_organisations_own_app_comes_first,
                accounts_that_are_connected_through_an_app_are_counted,
                an_app_is_changed_by_revision_and_keeps_what_is_not_named,
                apps_are_listed_in_pages_by_owner,
            }
            oauth_sessions {
                an_authorization_is_taken_once,
                an_authorization_ends_by_itself_and_is_forgotten,
                no_authorization_begins_for_what_is_being_deleted,
                what_came_of_an_authorization_is_kept_with_it,
            }
            api_tokens {
                a_token_is_found_by_its_hash,
                a_revoked_token_stays_known_and_frees_its_name,
                a_use_is_noted_and_never_goes_back,
                tokens_are_listed_in_pages_by_organization,
            }
            audit {
                events_are_listed_either_way_in_pages,
                events_are_found_by_whose_who_what_and_when,
                old_events_are_trimmed_a_few_at_a_time,
            }
            defaults {
                an_organization_has_one_default_of_a_category,
                a_deletion_frees_a_default,
            }
            overview {
                what_waits_is_counted_but_for_disabled_connectors,
            }
            model {
                i2_random_commits_equal_a_simple_model,
            }
        }
    };
    (@stamp $backend:ident $($entity:ident { $($test:ident,)* })*) => {
        mod $backend {
            $(mod $entity {
                $(#[tokio::test]
                async fn $test() {
                    let (store, _alive) = super::super::backends::$backend().await;
                    super::super::$entity::$test(store).await;
                })*
            })*
        }
    };
}

/// Opens an empty store of each kind.
mod backends {
    use std::sync::Arc;

    use crate::store::memory::MemoryStore;
    use crate::store::testing::Database;
    use crate::store::{SqliteStore, Store};

    pub async fn sqlite() -> (Arc<dyn Store>, tempfile::TempDir) {
        let folder = tempfile::tempdir().unwrap();
        let store = SqliteStore::open(&folder.path().join("connectord.db")).await.unwrap();
        (Arc::new(store), folder)
    }

    pub async fn postgres() -> (Arc<dyn Store>, Database) {
        let database = Database::new().await;
        (Arc::new(database.open().await), database)
    }

    pub async fn memory() -> (Arc<dyn Store>, ()) {
        (Arc::new(MemoryStore::new(false)), ())
    }
}

suite!(sqlite);
suite!(postgres);
suite!(memory);
restored::restored!(sqlite_restored, restored::SqliteFile);
restored::restored!(postgres_restored, restored::PostgresCopy);
