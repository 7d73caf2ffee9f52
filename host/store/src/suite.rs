//! The behaviour suite of stores: one test for each promise of the contract, run on each implementation by
//! [`store_suite`].

pub mod admissions;
pub mod catalogue;
pub mod concurrency;
pub mod decisions;
pub mod enrollments;
pub mod ledger;
pub mod make;
pub mod model;
pub mod proofs;
pub mod records;
pub mod registrations;
pub mod revocations;

/// Generates one test for each promise. `$open` is an expression that returns a fresh store and a guard of its
/// resources.
#[macro_export]
macro_rules! store_suite {
    ($open:expr; $($module:ident: $($promise:ident)+;)+) => {
        $(mod $module {
            #[allow(unused_imports)]
            use super::*;
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $promise() {
                let (store, _place) = $open;
                $crate::suite::$module::$promise(std::sync::Arc::new(store)).await;
            })+
        })+
    };
    ($open:expr) => {
        $crate::store_suite! { $open;
            registrations:
                a_registration_is_read_as_it_was_written
                only_the_first_of_two_writers_of_a_generation_writes
                a_full_draining_or_unlinked_hub_takes_nobody
                what_was_decided_before_a_removal_does_not_write_over_what_came_after
                a_device_stays_on_its_hub_though_it_is_full_or_draining
                moving_a_device_moves_the_counts
                a_failed_registration_gives_its_place_back
                deleting_gives_the_place_back
                releasing_unbinds_the_key_and_overtakes_what_is_under_way
                a_removal_looks_at_what_it_was_asked_for
                a_key_belongs_to_one_device_until_it_is_released_from_it
                a_hub_linked_again_has_its_count
                pages_follow_each_other_without_gaps
                a_listing_shows_one_hub_or_one_group
                ids_are_found_in_any_writing_and_keep_the_first
                a_record_that_admits_otherwise_now_stops_what_it_admitted
                how_full_a_hub_is_follows_every_commit
                scopes_do_not_see_each_other;
            proofs:
                a_challenge_is_spent_with_the_registration_that_its_answer_began
                a_challenge_begins_one_registration_however_many_bring_its_answer
                challenges_that_are_over_make_room
                an_authenticator_is_spent_once_until_it_is_over
                an_issuers_keys_take_the_place_of_those_that_it_had;
            admissions:
                what_admitted_a_device_must_stand_when_it_is_written
                two_devices_never_share_one_id_in_a_hub;
            ledger:
                an_entry_is_found_by_its_tracking_id
                the_oldest_refusals_make_room_and_decisions_stay
                a_device_that_registers_in_a_loop_keeps_its_last_decisions_only
                decisions_of_deleted_registrations_make_room
                what_only_entries_name_comes_with_the_first_and_goes_with_the_last
                content_is_kept_once_under_its_digest;
            decisions:
                what_was_refused_is_listed_by_device_and_enrollment_the_newest_first
                every_decision_is_found_by_each_thing_that_is_asked_for
                a_page_goes_on_where_the_one_before_it_ended
                what_is_gone_is_listed_no_more_and_nothing_is_listed_twice;
            records:
                an_import_says_what_came_of_each_row
                importing_the_same_again_changes_nothing
                an_update_keeps_the_state_and_the_first_import
                another_manufacturers_device_is_refused
                a_retired_device_is_not_changed
                the_last_rows_to_come_are_beyond_the_quota
                one_bad_row_refuses_an_all_or_nothing_batch
                batches_of_one_import_are_written_together_or_not_at_all
                a_dry_run_writes_nothing
                one_device_twice_in_a_batch_is_added_and_updated
                evidence_that_a_row_leaves_out_stays_unless_that_is_said
                a_record_says_who_else_claims_its_device
                retired_is_final
                the_state_of_a_record_is_guarded_by_its_tag
                one_among_many_is_listed_on_the_first_page
                the_place_of_the_next_page_is_never_anothers
                records_are_listed_by_prefix_state_and_manufacturer;
            enrollments:
                a_precondition_decides_what_is_written
                individuals_are_replaced_each_on_its_own_condition
                a_certificate_belongs_to_one_enrollment
                a_removed_enrollment_gives_its_certificates_back
                an_authority_belongs_to_one_group
                a_certificate_is_one_whether_it_is_named_or_pinned
                individuals_are_listed_in_pages
                an_individual_is_found_among_its_neighbours;
            catalogue:
                the_catalogue_is_loaded_as_it_was_put
                every_change_counts_the_revision_up
                an_authority_or_plugin_in_use_stays
                a_group_rests_on_what_is_there_when_it_is_written
                an_individual_enrollment_rests_on_what_is_there_when_it_is_written
                a_plugins_earlier_revisions_are_remembered
                what_the_operator_says_of_a_plugin_stays_when_it_is_published_anew
                of_two_who_publish_over_one_revision_the_second_is_told
                rules_plugins_authorities_and_tokens_are_guarded_by_their_tags
                the_entity_tag_of_a_hub_guards_it
                revoking_a_token_leaves_none_of_its_id
                the_last_operators_token_stays_however_many_are_revoked_at_once;
            revocations:
                what_is_revoked_of_an_issuer_outlives_its_authority
                of_changes_at_the_same_time_none_is_lost
                a_request_is_done_as_a_whole_or_not_at_all
                a_list_takes_the_place_of_an_older_one_only
                what_was_held_last_in_the_middle_is_remembered
                an_authority_stays_while_a_groups_intermediate_leans_on_it;
            concurrency:
                of_many_who_register_one_id_exactly_one_commits
                a_hub_never_holds_more_than_its_capacity
                what_is_queued_is_written_before_closing;
        }
    };
}
