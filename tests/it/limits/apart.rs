//! Limits of host calls that are made for a worker.

use toolgate_tests::apart;

#[test]
fn requests_from_a_worker_keep_to_the_same_limits() {
    apart(&[
        super::http_requests_max_ends_a_crawler,
        super::http_bytes_max_counts_what_is_sent_and_what_comes,
        super::deadline_ms_ends_a_wait_for_a_server_that_says_nothing,
        super::handles_max_ends_what_holds_too_many,
    ]);
}

#[test]
fn sockets_of_a_worker_keep_to_the_same_limits() {
    apart(&[
        super::sockets_max_ends_what_opens_too_many,
        super::socket_bytes_max_counts_what_is_sent_and_what_comes,
        super::deadline_ms_ends_a_read_from_a_socket_that_says_nothing,
        super::sockets::sockets_max_counts_names_that_are_looked_up,
    ]);
}
