//! What a wrong configuration says: the words, the line and the column of each error.

use vital_sidecar::config::{Config, Errors};

/// The errors of a text to which an upstream is added at the end, so that lines count from 1.
fn errors_of(text: &str) -> Errors {
    errors_of_all(&format!("{text}\nupstream.url = \"http://127.0.0.1:3000\"\n"))
}

/// The errors of a text with its own upstream, or none.
fn errors_of_all(text: &str) -> Errors {
    match Config::from_toml(text) {
        Ok(_) => panic!("this is valid:\n{text}"),
        Err(errors) => errors,
    }
}

fn assert_says(errors: &Errors, words: &[&str]) {
    let text = errors.to_string();
    for word in words {
        assert!(text.contains(word), "`{word}` is missing in:\n{text}");
    }
}

/// One wrong value, one error, at this place and in these words.
macro_rules! refused {
    ($($name:ident: $text:expr, $place:literal, $($word:literal),+;)+) => {$(
        #[test]
        fn $name() {
            let errors = errors_of($text);
            assert_eq!(errors.count(), 1, "{errors}");
            assert_says(&errors, &[
                concat!("--> sidecar.toml:", $place, "\n"),
                $($word,)+
                "error: the configuration has 1 error",
            ]);
        }
    )+};
}

// What is watched for.
refused! {
    an_alert_has_a_name:
        "alerts = [{ when = \"errors > 1/min\" }]", "1:11",
        "`alerts.name` is missing", "this alert has no name";
    an_alert_has_a_condition:
        "alerts = [{ name = \"a\" }]", "1:11",
        "`alerts.when` is missing", "when = \"errors > 10/min\"";
    an_alert_is_there_once:
        "alerts = [{ name = \"a\", when = \"errors > 1/min\" },\n{ name = \"a\", when = \"errors > 1/min\" }]",
        "2:10", "another alert has this name", "first used here";
    a_name_of_an_alert_is_plain:
        "alerts = [{ name = \"a b\", when = \"errors > 1/min\" }]", "1:20", "`alerts.name` is not a usable name";
    an_alert_is_about_a_metric:
        "alerts = [{ name = \"a\", when = \"error > 1/min\" }]", "1:33",
        "`alerts.when` is not a condition", "no metric has this name", "did you mean `errors`?";
    a_count_is_per_minute:
        "alerts = [{ name = \"a\", when = \"errors > 1/s\" }]", "1:42", "counts are per minute";
    a_label_belongs_to_the_metric:
        "alerts = [{ name = \"a\", when = \"errors{kind=x} > 1/min\" }]", "1:40",
        "the metric has no such label", "its labels are type";
    a_percentile_is_of_durations:
        "alerts = [{ name = \"a\", when = \"p95(errors) > 5s over 5m\" }]", "1:37",
        "expected a histogram of durations";
    a_percentile_needs_a_window:
        "alerts = [{ name = \"a\", when = \"p95(duration) > 5s\" }]", "1:51",
        "expected `over` and a duration";
    a_percentile_is_known_up_to_its_last_bucket:
        "alerts = [{ name = \"a\", when = \"p95(duration) > 2m over 5m\" }]", "1:49",
        "the last bucket ends at 60s";
    a_window_has_bounds:
        "alerts = [{ name = \"a\", when = \"ratio(errors, requests) > 1% over 30d\" }]", "1:67",
        "expected 1s to 24h";
    a_share_is_in_percent:
        "alerts = [{ name = \"a\", when = \"ratio(errors, requests) > 0.01 over 5m\" }]", "1:59",
        "expected a share, as in `1%`";
    somebody_must_exist_to_be_told:
        "alerts = [{ name = \"a\", when = \"errors > 1/min\", notify = [\"sentri\"] }]", "1:60",
        "`alerts.notify` cannot be told", "did you mean \"sentry\"?";
    a_webhook_has_a_url:
        "alerts = [{ name = \"a\", when = \"errors > 1/min\", notify = [\"webhook:${ALERT_WEBHOOK:-}\"] }]", "1:60",
        "it has no URL; is its variable empty?";
    a_webhook_speaks_http:
        "alerts = [{ name = \"a\", when = \"errors > 1/min\", notify = [\"webhook:ftp://a\"] }]", "1:60",
        "expected a URL that begins with https://";
    an_unset_webhook_is_an_error:
        "alerts = [{ name = \"a\", when = \"errors > 1/min\", notify = [\"webhook:${ALERT_WEBHOOK}\"] }]", "1:60",
        "the environment variable `ALERT_WEBHOOK` is not set";
}

// What errors of the upstream are called.
refused! {
    a_class_has_a_name:
        "errors.classify = [{ status = [500] }]", "1:20",
        "`errors.classify.type` is missing", "this class has no name";
    a_class_is_a_word:
        "errors.classify = [{ type = \"DB pool\" }]", "1:29",
        "`errors.classify.type` is not a usable name", "a letter first";
    a_class_is_no_error_of_the_sidecar:
        "errors.classify = [{ type = \"upstream_reset\" }]", "1:29",
        "the sidecar has another error of this name";
    a_class_is_there_once:
        "errors.classify = [{ type = \"a\" },\n{ type = \"a\" }]", "2:10",
        "another class has this name", "first used here";
    a_class_is_of_errors:
        "errors.classify = [{ type = \"a\", status = [404, 500] }]", "1:44",
        "`errors.classify.status` is out of range", "expected 500 to 599";
    a_class_has_some_status:
        "errors.classify = [{ type = \"a\", status = [] }]", "1:43",
        "`errors.classify.status` is empty", "any 5xx may be it";
    a_pattern_is_one:
        "errors.classify = [{ type = \"a\", body = \"pool (exhausted\" }]", "1:41",
        "`errors.classify.body` is not a pattern", "unclosed group, at its character 6";
    a_pattern_is_searched_in_linear_time:
        "errors.classify = [{ type = \"a\", body = '(a)\\1' }]", "1:41",
        "backreferences are not supported";
}

// What to do about an upstream that fails.
refused! {
    a_health_path_begins_with_a_slash:
        "upstream.health.path = \"healthz\"", "1:24",
        "`upstream.health.path` is not a usable path", "expected a path such as \"/healthz\"";
    a_health_path_fits_into_a_request_line:
        "upstream.health.path = \"/a b\"", "1:24", "`upstream.health.path` is not a usable path";
    a_breaker_has_three_modes:
        "upstream.breaker.mode = \"on\"", "1:25", "`upstream.breaker.mode`", "enforce";
    a_breaker_bears_at_least_one_failure:
        "upstream.breaker.failures = 0", "1:29", "`upstream.breaker.failures`";
    a_budget_is_a_share:
        "upstream.retry.budget = 1.5", "1:25", "`upstream.retry.budget`";
    retries_are_bounded:
        "upstream.retry.max_retries = 11", "1:30", "`upstream.retry.max_retries`";
}

// The log's files.
refused! {
    a_log_file_is_long_enough_for_a_line:
        "log.max_size = \"100B\"", "1:16", "`log.max_size` is out of range", "1KiB";
    a_log_has_at_least_its_open_file:
        "log.max_files = 0", "1:17", "`log.max_files` is out of range";
    old_log_files_are_compressed_with_gzip_or_not_at_all:
        "log.compress = \"zstd\"", "1:16", "`log.compress`", "gzip", "none";
}

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

// Security.
refused! {
    a_preset_of_security_headers_is_one_of_three:
        "security.headers = \"hard\"", "1:20", "`security.headers`", "strict";
    unknown_paths_are_forwarded_or_denied:
        "security.unmatched = \"block\"", "1:22", "`security.unmatched`", "deny";
    an_origin_has_a_scheme:
        "security.csrf_trusted_origins = [\"sso.example.com\"]", "1:34",
        "`security.csrf_trusted_origins` holds something that is not an origin",
        "expected SCHEME://HOST[:PORT]", "write \"https://sso.example.com\"";
    an_origin_has_no_path:
        "security.csrf_trusted_origins = [\"https://a.example\", \"https://b.example/login\"]", "1:55",
        "expected SCHEME://HOST[:PORT]", "write \"https://b.example\"";
    an_origin_is_no_pattern:
        "security.csrf_trusted_origins = [\"https://*.example\"]", "1:34", "name each origin";
    an_origin_is_written_in_punycode:
        "security.csrf_trusted_origins = [\"https://bücher.example\"]", "1:34", "Punycode";
    null_is_no_origin:
        "security.csrf_trusted_origins = [\"null\"]", "1:34", "any page can send it";
    an_origin_has_no_credentials:
        "security.csrf_trusted_origins = [\"https://a@b.example\"]", "1:34", "no user information";
    an_origin_s_port_is_a_port:
        "security.csrf_trusted_origins = [\"https://b.example:0\"]", "1:34", "from 1 to 65535";
    a_field_that_frames_a_request_stays:
        "security.remove_request_headers = [\"Host\"]", "1:36", "frames or routes the request";
    a_removed_field_has_a_name:
        "security.remove_request_headers = [\"x debug\"]", "1:36", "as in \"x-debug\"";
    a_removed_field_is_named_once:
        "security.remove_request_headers = [\"x-a\", \"X-A\"]", "1:43", "named before";
    an_override_is_not_for_what_one_answer_is:
        "security.override.set-cookie = \"a=1\"", "1:19", "`security.override` cannot set `set-cookie`";
    an_override_is_a_header_value:
        "security.override.x-a = \"a\\nb\"", "1:25", "`security.override.x-a` is not a header value";
    an_override_has_a_name:
        "security.override.\"x a\" = \"1\"", "1:19", "not one of a header field";
    an_override_is_a_string:
        "security.override.x-a = 1", "1:25", "expected a string";
}

// The spool.
refused! {
    a_spool_holds_more_than_a_few_parcels:
        "spool.max_size = \"1KiB\"", "1:18", "`spool.max_size` is out of range", "expected 1MiB to 1024TiB";
    a_spool_has_a_directory:
        "spool.directory = 1", "1:19", "`spool.directory` has the wrong type";
}

// Keys and types.
refused! {
    a_wrong_table_is_told_once:
        "inspect = 1", "1:11", "`inspect` has the wrong type", "expected a table, found an integer";
    a_misspelt_key_is_shown_its_neighbour:
        "server.lisetn = \"127.0.0.1:8080\"", "1:8",
        "unknown key `lisetn` in `server`", "help: did you mean `listen`?";
    a_misspelt_table_is_shown_its_neighbour:
        "sevrer.listen = \"127.0.0.1:8080\"", "1:1",
        "unknown key `sevrer` at the top level", "help: did you mean `server`?";
    a_key_in_the_wrong_table_is_shown_the_right_one:
        "server.stream_idle = \"5m\"", "1:8",
        "unknown key `stream_idle` in `server`", "`stream_idle` belongs in `[upstream.timeouts]`";
    the_beginning_of_a_key_is_completed:
        "admin.token = \"hidden\"", "1:7", "unknown key `token`", "did you mean `token_file`?";
    an_unknown_key_without_neighbours_lists_the_keys:
        "audit.zzzzzz = 1", "1:7", "help: the keys here are deadline, directory, mode";
    an_unknown_key_of_a_route_is_found:
        "routes = [{ match = \"GET /a\", macth = 1 }]", "1:31",
        "unknown key `macth` in `routes`", "did you mean `match`?";
    an_unknown_key_of_a_limit_is_found:
        "rate_limits.a = { key = [\"ip\"], rate = \"1/s\", brust = 1 }", "1:47",
        "unknown key `brust` in `rate_limits.<name>`", "did you mean `burst`?";
    a_key_below_a_value_is_refused:
        "server.listen.port = 1", "1:8", "`server.listen` has the wrong type", "found a table";
    text_for_a_number_is_refused:
        "server.workers = \"many\"", "1:18",
        "`server.workers` has the wrong type", "expected a whole number, found a string";
    a_number_for_text_is_refused:
        "service.name = 1", "1:16", "has the wrong type", "expected a string, found an integer";
    a_value_for_a_table_is_refused:
        "server = 1", "1:10", "`server` has the wrong type", "expected a table, found an integer";
    a_table_for_a_list_of_tables_is_refused:
        "routes = { match = \"GET /\" }", "1:10", "expected a list of tables, each under `[[routes]]`";
    text_for_a_list_is_refused:
        "server.trusted_proxies = \"10.0.0.0/8\"", "1:26", "expected a list of strings, found a string";
    text_for_a_boolean_is_refused:
        "captures.a = { from = \"request.body:/a\", values = [\"b\"], metric = \"yes\" }", "1:67",
        "`captures.a.metric` has the wrong type", "expected `true` or `false`, found a string";
}

// Durations, sizes, rates, numbers.
refused! {
    a_duration_without_a_unit_is_refused:
        "server.limits.idle_timeout = 75", "1:30",
        "must be a string with a unit", "a number has no unit", "help: write \"75s\"";
    a_wrong_duration_is_refused:
        "audit.deadline = \"250 ms\"", "1:18", "`audit.deadline` is not a duration",
        "expected a duration such as \"250ms\", \"10s\", \"1m30s\" or \"2h\"";
    a_zero_deadline_is_refused_where_it_would_break:
        "upstream.timeouts.connect = \"0s\"", "1:29",
        "`upstream.timeouts.connect` must not be zero", "expected a duration above zero";
    a_zero_header_timeout_is_refused:
        "server.limits.header_timeout = \"0s\"", "1:32", "must not be zero";
    an_endless_duration_is_refused:
        "otlp.timeout = \"99999d\"", "1:16", "expected a duration of at most 100 years";
    a_wrong_size_is_refused:
        "inspect.max_body = \"64kib\"", "1:20", "`inspect.max_body` is not a size",
        "expected a size such as \"512B\", \"64KiB\", \"10MiB\" or \"1GB\"";
    a_size_without_a_unit_is_refused:
        "server.limits.max_request_body = 1048576", "1:34", "help: write \"1048576B\"";
    a_zero_size_is_refused:
        "server.limits.max_request_body = \"0B\"", "1:34", "is out of range", "expected at least 1B";
    a_head_that_hyper_cannot_hold_is_refused:
        "server.limits.max_header_bytes = \"1KiB\"", "1:34", "expected 8KiB to 16MiB";
    a_zero_count_is_refused:
        "server.max_connections = 0", "1:26",
        "`server.max_connections` is out of range", "expected 1 to 1000000";
    a_negative_number_is_refused:
        "upstream.pool.max_idle = -1", "1:26", "is out of range", "expected 0 to 1000000";
    a_number_beyond_all_bounds_is_refused:
        "server.workers = 99999999999999999999", "1:18", "is out of range";
    a_wrong_rate_is_refused:
        "rate_limits.a = { key = [\"ip\"], rate = \"60/minute\" }", "1:40",
        "`rate_limits.a.rate` is not a rate", "expected a rate such as \"5/s\", \"60/min\"";
    a_zero_rate_is_refused:
        "rate_limits.a = { key = [\"ip\"], rate = \"0/s\" }", "1:40", "expected a rate above zero";
    a_zero_burst_is_refused:
        "rate_limits.a = { key = [\"ip\"], rate = \"1/s\", burst = 0 }", "1:55",
        "`rate_limits.a.burst` is out of range";
    a_ratio_above_one_is_refused:
        "tracing.sampling.ratio = 1.5", "1:26", "`tracing.sampling.ratio` is out of range",
        "expected a number from 0.0 to 1.0";
    a_ratio_that_is_no_number_is_refused:
        "sentry.sample_rate = nan", "1:22", "expected a number from 0.0 to 1.0";
    a_status_to_keep_that_is_none_is_refused:
        "tracing.sampling.keep_status = [404, 99]", "1:38",
        "`tracing.sampling.keep_status` is out of range", "expected 100 to 599";
    statuses_to_keep_are_numbers:
        "tracing.sampling.keep_status = [\"5xx\"]", "1:33", "has the wrong type",
        "expected a whole number, found a string";
    one_word_is_no_list:
        "tracing.propagators = \"b3\"", "1:23", "expected a list of strings", "write it in brackets";
    a_misspelt_take_is_one_mistake:
        "captures.\"a.b\" = { from = \"request.body:/a\", take = \"numbers\" }", "1:53",
        "`captures.\"a.b\".take` is not one of its values", "did you mean \"number\"?";
    a_capture_has_no_name_of_a_field_of_the_log:
        "captures.status = { from = \"request.body:/a\", take = \"number\" }", "1:10",
        "this name cannot name a capture", "have such a field of their own",
        "for example `captured.status`";
    nor_one_that_begins_like_ours:
        "captures.\"http.form\" = { from = \"request.body:/a\", take = \"number\" }", "1:10",
        "have such a field of their own";
    nor_one_that_ecs_would_spell_like_another:
        "captures.\"a.b\" = { from = \"request.body:/a\", take = \"number\" }\n\
         captures.a_b = { from = \"request.body:/a\", take = \"number\" }", "2:10",
        "another capture would be `labels.a_b`, too";
    a_schema_is_one_of_three:
        "log.schema = \"gelf\"", "1:14", "`log.schema` is not one of its values",
        "expected \"winston\", \"otel\" or \"ecs\"";
    audit_and_spool_need_a_directory_each:
        "spool.directory = \"audit\"\nroutes = [{ match = \"GET /\", audit = \"DATA_ACCESS\" }]",
        "1:19", "`spool.directory` and `audit.directory` are the same";
}

// Words, names and addresses.
refused! {
    an_unknown_propagator_is_told_where_it_stands:
        "tracing.propagators = [\"tracecontext\", \"b3mutli\"]", "1:40",
        "`tracing.propagators` is not one of its values",
        "expected \"tracecontext\", \"b3\", \"b3multi\" or \"baggage\"", "did you mean \"b3multi\"?";
    an_unknown_word_lists_the_known_ones:
        "log.level = \"inof\"", "1:13", "`log.level` is not one of its values",
        "expected \"error\", \"warn\", \"info\" or \"debug\"", "help: did you mean \"info\"?";
    an_unknown_mode_of_audit_is_refused:
        "audit.mode = \"blocking\"", "1:14", "expected \"strict\" or \"best_effort\"";
    an_unknown_trust_is_refused:
        "tracing.trust = \"all\"", "1:17", "expected \"never\", \"trusted_proxies\" or \"always\"";
    an_address_without_a_port_is_refused:
        "server.listen = \"0.0.0.0\"", "1:17", "`server.listen` is not an address", "expected IP:PORT";
    a_port_without_an_address_is_completed:
        "server.listen = \":8080\"", "1:17", "for every interface write \"0.0.0.0:8080\"";
    a_unix_socket_needs_an_absolute_path:
        "server.listen = \"unix:run/s\"", "1:17", "`server.listen` is not a Unix socket",
        "expected an absolute path, as in \"unix:/run/sidecar.sock\"";
    only_clients_come_over_a_unix_socket:
        "admin.listen = \"unix:/run/s\"", "1:16", "only `server.listen` can be a Unix socket";
    a_certificate_without_a_key_is_refused:
        "server.tls.certificate_file = \"Cargo.toml\"", "1:31", "`server.tls.key_file` is missing";
    a_redirect_to_no_tls_is_refused:
        "server.tls.redirect_from = \"0.0.0.0:80\"", "1:28", "needs a certificate";
    a_name_for_an_address_is_refused:
        "admin.listen = \"localhost:9901\"", "1:16", "write \"127.0.0.1\" for localhost";
    a_wrong_network_is_refused:
        "server.trusted_proxies = [\"10.0.0.0/8\", \"10.0.0.0/33\"]", "1:41",
        "`server.trusted_proxies` holds something that is not a network", "expected a CIDR";
    a_wrong_collector_is_refused:
        "otlp.endpoint = \"localhost:4318\"", "1:17", "`otlp.endpoint` is not a usable URL";
    a_header_that_frames_the_message_cannot_hold_the_id:
        "request_id.header = \"Host\"", "1:21", "expected a header of its own";
    a_series_bound_below_what_every_sidecar_has:
        "metrics.max_series = 10", "1:22", "`metrics.max_series`";
    a_push_without_pause:
        "metrics.interval = \"0s\"", "1:20", "`metrics.interval`";
    a_cache_field_that_is_none:
        "cache.headers = [\"x cache\"]", "1:18", "`cache.headers` holds something that is not a header";
    a_wrong_header_name_is_refused:
        "request_id.header = \"x request\"", "1:21", "is not a usable header name";
    a_wrong_type_base_is_refused:
        "errors.type_base = \"not a uri\"", "1:20", "is not the beginning of a URI";
    an_empty_service_name_is_refused:
        "service.name = \"\"", "1:16", "expected 1 to 255 bytes without control characters";
    an_empty_audit_directory_is_refused:
        "audit.directory = \"\"", "1:19", "`audit.directory` is not a directory";
    an_unknown_part_of_a_limit_key_is_refused:
        "rate_limits.a = { key = [\"usre\"], rate = \"1/s\" }", "1:26",
        "`rate_limits.a.key` holds an unknown part",
        "expected \"ip\", \"route\", \"user\", \"tenant\", \"header:<name>\"";
    a_limit_without_a_key_is_refused:
        "rate_limits.a = { rate = \"1/s\" }", "1:13", "`rate_limits.a.key` is missing";
    an_empty_limit_key_is_refused:
        "rate_limits.a = { key = [], rate = \"1/s\" }", "1:25", "expected at least one part";
    a_limit_with_an_unusable_name_is_refused:
        "rate_limits.\"a b\" = { key = [\"ip\"], rate = \"1/s\" }", "1:13",
        "this name cannot name a limit";
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

// Routes and captures.
refused! {
    a_route_without_a_match_is_refused:
        "routes = [{ name = \"a\" }]", "1:11", "`routes.match` is missing";
    a_template_without_a_method_is_refused:
        "routes = [{ match = \"/api\" }]", "1:21", "`routes.match` is not a route template",
        "expected a method or `*`, a space and a path, as in \"GET /api/users/{id}\"";
    a_method_in_lower_case_is_refused:
        "routes = [{ match = \"get /api\" }]", "1:21", "expected a method in capitals";
    a_template_that_no_canonical_path_meets_is_refused:
        "routes = [{ match = \"GET /a//b\" }]", "1:21", "never occurs in a canonical path";
    a_tail_must_be_last:
        "routes = [{ match = \"GET /{*rest}/b\" }]", "1:21", "takes the rest of the path";
    a_route_that_is_shadowed_is_refused:
        "routes = [{ match = \"* /a/{x}\" }, { match = \"GET /a/{y}\" }]", "1:45",
        "this route can never match", "this earlier route takes all of its requests",
        "help: the first match wins";
    two_routes_of_one_name_are_refused:
        "routes = [{ name = \"a\", match = \"GET /a\" }, { name = \"a\", match = \"GET /b\" }]", "1:54",
        "two routes have the same name", "used here first";
    an_unknown_action_is_refused:
        "routes = [{ match = \"GET /a\", action = \"block\" }]", "1:40", "expected \"forward\" or \"deny\"";
    an_unknown_audit_event_lists_the_known_ones:
        "routes = [{ match = \"GET /a\", audit = \"USER_LOGON\" }]", "1:39",
        "`routes.audit` is not an audit event", "ORCHESTRATION_REQUEST", "did you mean \"USER_LOGIN\"?";
    an_unknown_limit_of_a_route_is_refused:
        "routes = [{ match = \"GET /a\", rate_limits = [\"b\"] }]", "1:46",
        "`routes.rate_limits` names an unknown limit", "there is no `[rate_limits.<name>]` at all";
    an_unknown_capture_of_a_route_is_refused:
        "routes = [{ match = \"GET /a\", captures = [\"b\"] }]", "1:43",
        "`routes.captures` names an unknown capture";
    an_unknown_default_limit_is_refused:
        "route_defaults.rate_limits = [\"b\"]", "1:31",
        "`route_defaults.rate_limits` names an unknown limit";
    a_zero_timeout_of_a_route_is_refused:
        "routes = [{ match = \"GET /a\", timeouts = { response_header = \"0s\" } }]", "1:62",
        "must not be zero";
    a_capture_from_elsewhere_is_refused:
        "captures.a = { from = \"request.header:x-a\", values = [\"b\"] }", "1:23",
        "expected \"request.body:\" or \"response.body:\" and a JSON pointer",
        "\"response.header:\" and a name, or \"path:\" and a parameter";
    a_capture_of_a_header_that_cannot_be_is_refused:
        "captures.a = { from = \"response.header:x a\", values = [\"b\"] }", "1:23",
        "expected the name of a header field";
    a_parameter_that_the_route_does_not_have_is_refused:
        "captures.a = { from = \"path:id\", take = \"hmac\" }\nroutes = [{ match = \"GET /a/{user}\", captures = [\"a\"] }]",
        "2:50", "`routes.captures` names a parameter that the route does not have",
        "this takes `{id}` of the path", "not in here";
    a_label_that_is_taken_is_refused:
        "captures.\"error-type\" = { from = \"path:id\", values = [\"b\"], metric = true }", "1:70",
        "as a label it would be `error_type`, which is taken";
    two_captures_that_would_be_one_label_are_refused:
        "captures.\"a-b\" = { from = \"path:id\", values = [\"b\"], metric = true }\ncaptures.a_b = { from = \"path:id\", values = [\"b\"], metric = true }",
        "2:61", "another capture is the label `a_b` already";
    a_label_that_begins_with_a_digit_is_refused:
        "captures.1 = { from = \"path:id\", values = [\"b\"], metric = true }", "1:59",
        "no label begins with a digit";
    a_pseudonym_is_no_label:
        "captures.a = { from = \"request.body:/a\", take = \"hmac\", metric = true }", "1:66",
        "a pseudonym is no metric label";
    a_pointer_without_a_slash_is_refused:
        "captures.a = { from = \"request.body:a\", values = [\"b\"] }", "1:23",
        "expected a JSON pointer that begins with `/`";
    a_pointer_with_a_lone_tilde_is_refused:
        "captures.a = { from = \"request.body:/a~2\", values = [\"b\"] }", "1:23",
        "`~` must be `~0` or `~1`";
    a_capture_of_any_text_is_refused:
        "captures.a = { from = \"request.body:/a\" }", "1:10",
        "`captures.a.values` is missing", "any text could leave";
    a_length_is_no_label:
        "captures.a = { from = \"request.body:/a\", take = \"length\", metric = true }", "1:68",
        "a length is no metric label";
    a_number_has_no_list:
        "captures.a = { from = \"response.body:/a\", take = \"number\", values = [\"b\"] }", "1:69",
        "a number has no list of values";
    an_unknown_take_is_refused:
        "captures.a = { from = \"request.body:/a\", take = \"lenght\", values = [\"b\"] }", "1:49",
        "did you mean \"length\"?";
}

// What takes two values to see.
refused! {
    an_admin_door_beyond_loopback_needs_a_token:
        "admin.listen = \"0.0.0.0:9901\"", "1:16",
        "`admin.listen` needs a token", "is not a loopback address", "set `admin.token_file`";
    two_doors_on_one_port_are_refused:
        "metrics.listen = \"0.0.0.0:8080\"", "1:18",
        "`metrics.listen` and `server.listen` use the same port", "give each its own port";
    an_upstream_that_is_the_sidecar_is_refused:
        "server.listen = \"0.0.0.0:3000\"", "2:16", "`upstream.url` is the sidecar itself";
    a_drain_that_is_all_delay_is_refused:
        "server.drain.delay = \"25s\"", "1:22",
        "`server.drain.delay` leaves no time to drain", "expected delay < timeout";
    a_body_larger_than_all_memory_is_refused:
        "inspect.max_body = \"1GiB\"", "1:20", "expected max_body <= max_memory";
}

// Variables and files.
refused! {
    an_unset_variable_is_named:
        "log.directory = \"${LOG_HOME}/a\"", "1:17",
        "the environment variable `LOG_HOME` is not set", "give a default: `${LOG_HOME:-…}`";
    an_unclosed_variable_is_refused:
        "log.directory = \"${LOG_HOME\"", "1:17", "expected `${NAME}` or `${NAME:-default}`";
    an_unreadable_token_file_is_named:
        "admin.token_file = \"/does/not/exist\"", "1:20", "`admin.token_file` cannot be read",
        "reading `/does/not/exist`: No such file or directory";
    an_unreadable_certificate_file_is_named:
        "otlp.ca_file = \"/does/not/exist\"", "1:16", "`otlp.ca_file` cannot be read";
    a_syntax_error_is_placed:
        "audit.directory = \"audit", "1:25", "invalid basic string";
}

#[test]
fn a_wrong_upstream_is_refused() {
    let cases = [
        ("localhost:3000", "expected a URL such as \"http://127.0.0.1:3000\""),
        ("ftp://a", "expected a URL that begins with http://, https://, h2c:// or unix:/"),
        ("https://127.0.0.1:3000/api", "`upstream.url` has a path"),
        ("https://a..b", "`upstream.url` has a host that no certificate can name"),
        ("h2c://127.0.0.1:99999", "expected a port from 1 to 65535"),
        ("unix:app.sock", "as in \"unix:/run/app.sock\""),
        ("unix:/run/", "as in \"unix:/run/app.sock\""),
        ("unix://host/run/app.sock", "as in \"unix:/run/app.sock\""),
        ("http://127.0.0.1:3000/api", "`upstream.url` has a path"),
        ("http://127.0.0.1:0", "expected a port from 1 to 65535"),
    ];
    for (url, words) in cases {
        let errors = errors_of_all(&format!("[upstream]\nurl = \"{url}\"\n"));
        assert_eq!(errors.count(), 1, "{errors}");
        assert_says(&errors, &["--> sidecar.toml:2:7\n", words]);
    }
}

#[test]
fn an_upstream_socket_has_a_bounded_path() {
    let url = format!("unix:/{}", "a".repeat(107));
    let errors = errors_of_all(&format!("[upstream]\nurl = \"{url}\"\n"));
    assert_says(&errors, &["a socket's path has at most 107 bytes"]);
}

#[test]
fn a_file_of_roots_must_be_usable_and_used() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str, text: &str| {
        let path = directory.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let key = rcgen::generate_simple_self_signed(["ca.example".to_owned()]).unwrap();
    let good = path("good.pem", &key.cert.pem());
    let broken =
        path("broken.pem", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
    for (url, file, words) in [
        ("http://a", good.as_str(), "`upstream.url` has no TLS"),
        ("https://a", broken.as_str(), "holds a certificate that cannot be used"),
        ("https://a", "/does/not/exist", "`upstream.ca_file` cannot be read"),
    ] {
        let text = format!("[upstream]\nurl = \"{url}\"\nca_file = \"{file}\"\n");
        let errors = errors_of_all(&text);
        assert_eq!(errors.count(), 1, "{errors}");
        assert_says(&errors, &["--> sidecar.toml:3:11\n", words]);
    }
    let text = format!("[upstream]\nurl = \"https://a\"\nca_file = \"{good}\"\n");
    Config::from_toml(&text).unwrap_or_else(|errors| panic!("{errors}"));
}

#[test]
fn a_table_that_was_opened_by_a_dotted_key_says_how_to_go_on() {
    let text = "upstream.url = \"http://127.0.0.1:3000\"\n[upstream]\nhost = \"rewrite\"\n";
    let errors = errors_of_all(text);
    assert_says(&errors, &["duplicate key", "--> sidecar.toml:2:2", "`upstream.host = …`"]);
}

#[test]
fn a_missing_upstream_is_asked_for() {
    let errors = errors_of_all("");
    assert_says(
        &errors,
        &["`upstream.url` is missing", "--> sidecar.toml", "run with `--upstream URL`"],
    );
    let errors = errors_of_all("[upstream]\nhost = \"rewrite\"\n");
    assert_says(&errors, &["--> sidecar.toml:1:1\n", "the service behind must be named"]);
}

#[test]
fn five_mistakes_are_told_at_once_in_the_order_of_the_file() {
    let text = r#"[server]
lisetn = "0.0.0.0:8080"
workers = "many"

[log]
level = "loud"

[upstream]
url = "gopher://127.0.0.1:3000"

[[routes]]
match = "GET /a"
rate_limits = ["per-ip"]
"#;
    let errors = errors_of_all(text);
    assert_eq!(errors.count(), 5, "{errors}");
    let text = errors.to_string();
    let places: Vec<_> =
        text.lines().filter_map(|line| line.split("sidecar.toml:").nth(1)).collect();
    assert_eq!(places, ["2:1", "3:11", "6:9", "9:7", "13:16"]);
    assert!(text.ends_with("error: the configuration has 5 errors"), "{text}");
}

#[test]
fn every_wrong_word_of_a_list_is_told() {
    let errors = errors_of("tracing.propagators = [\"jaeger\", \"b3\", \"xray\"]");
    assert_eq!(errors.count(), 2, "{errors}");
}

#[test]
fn an_error_is_rendered_with_its_line_a_caret_a_label_and_help() {
    let expected = "\
error: `log.level` is not one of its values
 --> sidecar.toml:1:13
  |
1 | log.level = \"inof\"
  |             ^^^^^^ expected \"error\", \"warn\", \"info\" or \"debug\"
  |
  = help: did you mean \"info\"?

error: the configuration has 1 error";
    let errors = errors_of("log.level = \"inof\"");
    assert_eq!(errors.to_string(), expected);
    assert!(errors.render(true).contains("\u{1b}["));
}

#[test]
fn a_token_file_must_hold_one_line_of_visible_text() {
    let directory = tempfile::tempdir().unwrap();
    for (content, words) in [("\n", "is empty"), ("a\nb", "more than one line")] {
        let path = directory.path().join("token");
        std::fs::write(&path, content).unwrap();
        let errors = errors_of(&format!("admin.token_file = \"{}\"", path.display()));
        assert_says(&errors, &["sidecar.toml:1:20", words]);
    }
}

#[test]
fn an_upstream_that_is_the_sidecars_own_socket_is_refused() {
    let errors = errors_of_all(
        "server.listen = \"unix:/run/a.sock\"\nupstream.url = \"unix:///run/a.sock\"\n",
    );
    assert_eq!(errors.count(), 1, "{errors}");
    assert_says(&errors, &["--> sidecar.toml:2:16", "`upstream.url` is the sidecar itself"]);
}

// Who calls.
refused! {
    a_token_needs_an_issuer:
        "identity.source = \"jwt\"\nidentity.jwt = { jwks_url = \"https://a.example/keys\", audience = \"a\" }",
        "2:16", "`identity.jwt.issuer` is missing", "tokens of any issuer would count",
        "write `issuer = \"*\"` to accept any";
    a_token_needs_an_audience:
        "identity.source = \"jwt\"\nidentity.jwt = { jwks_url = \"https://a.example/keys\", issuer = \"a\" }",
        "2:16", "`identity.jwt.audience` is missing", "tokens for anybody would count",
        "write `audience = \"*\"` to accept any";
    a_tenant_is_a_claim:
        "identity.tenant = \"org\"", "1:10", "unknown key `tenant` in `identity`",
        "did you mean `tenant_claim`?";
    a_path_of_a_route_is_its_match:
        "routes = [{ match = \"GET /a\", path = \"/api\" }]", "1:31",
        "unknown key `path` in `routes`", "did you mean `match`?";
    a_parameter_has_braces:
        "routes = [{ match = \"GET /api/:id\" }]", "1:21", "`routes.match` is not a route template",
        "a parameter is written `{id}`, not `:id`";
    the_rest_of_a_path_has_braces:
        "routes = [{ match = \"* /api/*\" }]", "1:21", "`routes.match` is not a route template",
        "the rest of a path is written `{*rest}`";
    a_tenant_in_a_path_is_in_some_path:
        "identity.tenant_path_param = \"tennant\"\nroutes = [{ match = \"* /t/{tenant}/{*rest}\" }]",
        "1:30", "`identity.tenant_path_param` names a parameter that no path has",
        "no route and no operation has `{tennant}`", "did you mean \"tenant\"?";
    a_tenant_in_a_path_needs_a_path:
        "identity.tenant_path_param = \"org\"", "1:30",
        "`identity.tenant_path_param` names a parameter that no path has",
        "add a route with it, such as `match = \"* /tenants/{org}/{*rest}\"`";
    a_request_id_is_no_trace_context:
        "request_id.header = \"tracestate\"", "1:21", "expected a header of its own";
    a_token_needs_a_key:
        "identity.source = \"jwt\"\nidentity.jwt = { issuer = \"*\", audience = \"*\" }",
        "2:16", "`identity.jwt.jwks_url` is missing", "no key could check a token";
    keys_come_over_a_safe_way:
        "identity.jwt.jwks_url = \"http://issuer.example/keys\"", "1:25",
        "`identity.jwt.jwks_url` is not a URL for keys", "expected https:// (http:// only on this machine)";
    a_public_key_is_never_a_secret:
        "identity.jwt.algorithms = [\"RS256\", \"HS256\"]", "1:37", "this one needs `secret_file`";
    headers_need_a_proxy_that_sets_them:
        "identity.source = \"headers\"", "1:19", "`identity.source` trusts nobody",
        "name the proxy that sets them in `server.trusted_proxies`";
    certificates_need_an_authority:
        "identity.source = \"mtls\"", "1:19", "`identity.source` asks for no certificates",
        "name the authorities of your clients in `server.tls.client_ca_file`";
    what_nobody_has_cannot_be_required:
        "route_defaults.identity = \"required\"", "1:27", "can never be met",
        "set `identity.source`, for example \"jwt\"";
    a_signature_needs_a_key:
        "identity.signing_key_file = \"config/sidecar.toml\"", "1:29",
        "`identity.signing_key_file` cannot sign", "it holds no PEM block `PRIVATE KEY`",
        "make one with `openssl genpkey -algorithm ed25519`";
    a_key_to_sign_with_can_be_read:
        "identity.signing_key_file = \"/nowhere/key.pem\"", "1:29",
        "`identity.signing_key_file` cannot be read", "reading `/nowhere/key.pem`";
    a_claim_does_not_replace_a_field_of_the_protocol:
        "identity.forward = { authorization = \"sub\" }", "1:22",
        "`authorization` cannot carry a claim", "this field means something else";
}
