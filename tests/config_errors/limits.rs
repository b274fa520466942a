//! What is wrong with limits, and with the store that shares them.

use super::{assert_says, errors_of};

// The store of shared limits.
refused! {
    a_store_has_a_scheme_of_redis:
        "rate_limit_store.redis_url = \"localhost:6379\"", "1:30",
        "`rate_limit_store.redis_url` is not a usable URL", "redis://, rediss://";
    a_store_has_a_port_that_exists:
        "rate_limit_store.redis_url = \"redis://cache:66000\"", "1:30", "expected a port";
    sentinels_need_a_name_to_ask_for:
        "rate_limit_store.redis_url = \"redis+sentinel://a,b\"", "1:30", "the master's name";
    a_cluster_has_one_database:
        "rate_limit_store.redis_url = \"redis+cluster://a/2\"", "1:30", "only database 0";
    a_store_is_waited_for_at_most_for_some_time:
        "rate_limit_store.timeout = \"0s\"", "1:28", "`rate_limit_store.timeout` must not be zero";
    at_least_one_replica_runs:
        "rate_limit_store.replicas = 0", "1:29", "`rate_limit_store.replicas` is out of range";
}

#[test]
fn the_password_of_a_store_is_not_in_the_error_about_its_url() {
    let errors =
        errors_of("rate_limit_store.redis_url = \"redis://app:hunter2@cache:0\"").to_string();
    assert!(errors.contains("expected a port") && errors.contains("***"), "{errors}");
    assert!(!errors.contains("hunter2") && !errors.contains("app:"), "{errors}");
}

#[test]
fn roots_for_a_store_without_tls_are_never_used() {
    let root = tempfile::NamedTempFile::new().unwrap();
    let pem = rcgen::generate_simple_self_signed(["a".to_owned()]).unwrap().cert.pem();
    std::fs::write(root.path(), pem).unwrap();
    let path = root.path().display();
    let errors = errors_of(&format!(
        "rate_limit_store = {{ redis_url = \"redis://a\", ca_file = \"{path}\" }}"
    ));
    assert_says(&errors, &["`rate_limit_store.ca_file` is never used", "rediss://"]);
}

// What a limit asks for, and what it costs.
refused! {
    a_claim_has_a_name:
        "rate_limits.a = { key = [\"claim:\"], rate = \"1/s\" }", "1:26", "the name of a claim";
    a_cost_is_a_request_or_a_capture:
        "rate_limits.a = { key = [\"ip\"], rate = \"1/s\", cost = \"tokens\" }", "1:54",
        "`rate_limits.a.cost` is not a cost", "expected \"request\" or \"capture:<name>\"";
    a_reserve_is_for_a_cost_that_is_not_known:
        "rate_limits.a = { key = [\"ip\"], rate = \"1/s\", reserve = 2 }", "1:57",
        "`rate_limits.a.reserve` has no use here", "add `cost = \"capture:<name>\"`";
    a_reserve_fits_into_the_bucket:
        "rate_limits.a = { key = [\"ip\"], rate = \"1/s\", burst = 5, reserve = 6 }", "1:68",
        "`rate_limits.a.reserve` is out of range";
    tiers_need_a_claim:
        "rate_limits.a = { key = [\"ip\"], rate = \"1/s\", tiers = { b = \"2/s\" } }", "1:55",
        "`rate_limits.a.tiers` has no use here", "there is no `tier_claim` beside it";
    a_tier_claim_needs_tiers:
        "rate_limits.a = { key = [\"ip\"], rate = \"1/s\", tier_claim = \"plan\" }", "1:60",
        "`rate_limits.a.tier_claim` has no use here", "there is no `tiers` beside it";
    a_tier_is_a_rate:
        "rate_limits.a = { key = [\"ip\"], rate = \"1/s\", tier_claim = \"c\", tiers.b = \"2\" }", "1:75",
        "the tier `b` is not a rate";
    a_tenant_has_some_share:
        "overload.tenant_share = 0.0", "1:25", "`overload.tenant_share` leaves a tenant nothing";
}

// Limits that read captures.
refused! {
    a_limit_by_an_unknown_capture_is_refused:
        "rate_limits.a = { key = [\"capture:m\"], rate = \"1/s\" }", "1:25",
        "`rate_limits.a.key` names an unknown capture", "no `[captures.<name>]` is called `m`";
    an_unknown_cost_is_refused:
        "rate_limits.a = { key = [\"ip\"], rate = \"1/s\", cost = \"capture:t\" }", "1:54",
        "`rate_limits.a.cost` names an unknown capture";
    a_limit_cannot_wait_for_the_answer:
        "captures.m = { from = \"response.body:/m\", values = [\"a\"] }\n\
         rate_limits.a = { key = [\"capture:m\"], rate = \"1/s\" }", "2:25",
        "`rate_limits.a.key` names a capture of the answer", "which comes too late";
    a_cost_is_countable:
        "captures.m = { from = \"request.body:/m\", values = [\"a\"] }\n\
         rate_limits.a = { key = [\"ip\"], rate = \"1/s\", cost = \"capture:m\" }", "2:54",
        "cannot be counted", "help: take it as one: `take = \"number\"`";
    a_route_takes_what_its_limits_read:
        "captures.m = { from = \"request.body:/m\", values = [\"a\"] }\n\
         rate_limits.a = { key = [\"capture:m\"], rate = \"1/s\" }\n\
         routes = [{ match = \"POST /a\", rate_limits = [\"a\"] }]", "3:46",
        "the limit `a` reads what this route does not take", "`m` is not among its captures",
        "add `captures = [\"m\"]`";
    requests_without_a_route_have_no_captures:
        "captures.m = { from = \"request.body:/m\", values = [\"a\"] }\n\
         rate_limits.a = { key = [\"capture:m\"], rate = \"1/s\" }\n\
         route_defaults.rate_limits = [\"a\"]", "3:30",
        "the limit `a` reads what this route does not take";
}
