//! The limits of what a call reaches outside, where it is reached for a worker.

use toolgate_policy::limits::call::CallLimit;
use toolgate_tests::apart;

#[test]
fn requests_from_a_worker_keep_to_the_same_limits() {
    apart(&[
        super::http_requests_max_ends_a_crawler,
        super::http_bytes_max_counts_what_is_sent_and_what_comes,
        super::deadline_ms_ends_a_wait_for_a_server_that_says_nothing,
        super::handles_max_ends_what_holds_too_many,
        || super::exact::are_exact(&[CallLimit::HttpRequests, CallLimit::HttpBytes]),
    ]);
}
