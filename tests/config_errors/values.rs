//! Keys, types and single values: what is no number, no name and no address.

use super::{assert_says, errors_of};

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
    a_file_of_the_log_is_its_directory:
        "log.file = \"app.log\"", "1:5", "unknown key `file`", "did you mean `directory`?";
    a_format_of_the_log_is_one_of_two_keys:
        "log.format = \"json\"", "1:5", "unknown key `format`", "did you mean `schema` (", "or `console` (";
    a_rotation_of_the_log_is_one_of_two_keys:
        "log.rotate = \"daily\"", "1:5", "unknown key `rotate`", "did you mean `max_size` or `max_files`?";
    keys_at_a_url_are_shown_the_key_for_one:
        "identity.jwt.jwks = \"https://a.example/keys\"", "1:14",
        "unknown key `jwks`", "did you mean `jwks_url`?";
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
        "must be a string with a unit", "a number has no unit", "help: say in which unit: \"75s\" or \"75ms\"";
    a_wrong_duration_is_refused:
        "audit.deadline = \"250 ms\"", "1:18", "`audit.deadline` is not a duration",
        "expected a duration such as \"250ms\", \"10s\", \"1m30s\" or \"2h\"";
    a_space_before_a_unit_is_taken_out:
        "audit.deadline = \"250 ms\"", "1:18", "help: write \"250ms\"";
    a_space_before_the_unit_of_a_size_is_taken_out:
        "log.max_size = \"10 MB\"", "1:16", "`log.max_size` is not a size", "help: write \"10MB\"";
    a_log_file_s_size_without_a_unit_is_shown_one:
        "log.max_size = 10485760", "1:16", "a number has no unit", "help: write \"10MiB\"";
    a_lone_number_is_shown_its_brackets:
        "errors.classify = [{ type = \"a\", status = 503 }]", "1:43",
        "expected a list of whole numbers, found an integer", "write it in brackets: [503]";
    a_list_for_one_name_is_shown_the_name:
        "identity.jwt.audience = [\"a\"]", "1:25",
        "expected a string, found a list", "write one string, without brackets";
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
        "server.limits.max_request_body = 1048576", "1:34", "help: write \"1MiB\"";
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
    a_credential_is_never_logged:
        "log.headers = [\"accept\", \"Authorization\"]", "1:26",
        "`log.headers` holds a header that cannot be logged", "lets whoever reads it in";
    nor_is_what_says_who_somebody_is:
        "log.headers = [\"x-user-id\"]", "1:16", "lines have `userId`";
    nor_is_what_the_configuration_has_say_so:
        "identity.tenant_header = \"x-shop\"\nlog.headers = [\"X-Shop\"]", "2:15",
        "`[identity]` has `x-shop` say who somebody is";
    nor_is_where_somebody_is:
        "log.headers = [\"x-forwarded-for\"]", "1:16", "lines have `clientIp`";
    a_header_is_logged_once:
        "log.headers = [\"accept\", \"Accept\"]", "1:26", "named before";
    what_is_no_name_of_a_header_is_not_logged:
        "log.headers = [\"a b\"]", "1:16", "expected a header's name";
    not_all_headers_are_logged:
        "log.headers = [\"a\", \"b\", \"c\", \"d\", \"e\", \"f\", \"g\", \"h\", \"i\", \"j\", \"k\", \"l\", \"m\", \"n\", \"o\", \"p\", \"q\"]",
        "1:15", "`log.headers` has too many names", "expected at most 16 names, found 17";
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
    a_longer_word_is_shown_the_one_it_begins_with:
        "log.level = \"warning\"", "1:13", "help: did you mean \"warn\"?";
    a_word_in_capitals_is_shown_in_small_letters:
        "log.schema = \"ECS\"", "1:14", "help: did you mean \"ecs\"?";
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
