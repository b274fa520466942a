//! What is wrong with what leaves the process: the log, alerts, the names of errors, the spool.

use super::{assert_says, errors_of};

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
    a_webhook_has_no_user_and_password:
        "alerts = [{ name = \"a\", when = \"errors > 1/min\", notify = [\"webhook:https://user:pw@h/x\"] }]", "1:60",
        "a webhook's URL cannot hold credentials";
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

// The log's files.
refused! {
    a_log_file_is_long_enough_for_a_line:
        "log.max_size = \"100B\"", "1:16", "`log.max_size` is out of range", "1KiB";
    a_log_has_at_least_its_open_file:
        "log.max_files = 0", "1:17", "`log.max_files` is out of range";
    old_log_files_are_compressed_with_gzip_or_not_at_all:
        "log.compress = \"zstd\"", "1:16", "`log.compress`", "gzip", "none";
}

// What is shipped to Datadog.
refused! {
    an_intake_has_a_url_though_nothing_is_shipped:
        "log.datadog.url = \"intake\"", "1:19", "`log.datadog.url` is not a usable URL";
    an_intake_has_a_url_also_where_it_is_off:
        "log.datadog = { enabled = false, url = \"intake\" }", "1:40",
        "`log.datadog.url` is not a usable URL";
    the_environment_is_no_tag_of_one_s_own:
        "log.datadog.tags = [\"team:shop\", \"env:x\"]", "1:34",
        "`log.datadog.tags` has the environment twice", "`service.environment` says it";
}

// The spool.
refused! {
    a_spool_holds_more_than_a_few_parcels:
        "spool.max_size = \"1KiB\"", "1:18", "`spool.max_size` is out of range", "expected 1MiB to 1024TiB";
    a_spool_has_a_directory:
        "spool.directory = 1", "1:19", "`spool.directory` has the wrong type";
}
