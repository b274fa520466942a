//! What is written twice: the second place, the first, and no value of either.

use super::{assert_says, errors_of, errors_of_all};

#[test]
fn a_second_table_is_named_and_shown_the_first() {
    let text = "[log]\nlevel = \"warn\"\n\n[log]\nschema = \"ecs\"\n";
    let errors = errors_of(text);
    assert_eq!(errors.count(), 1, "{errors}");
    assert_says(
        &errors,
        &[
            "duplicate table `[log]`",
            "--> sidecar.toml:4:2\n",
            "1 | [log]\n  |  --- written here before",
            "put these keys under the first `[log]`",
        ],
    );
}

#[test]
fn a_second_table_below_another_is_named_whole() {
    let text = "[log.otlp]\ntimeout = \"1s\"\n[[routes]]\nmatch = \"GET /a\"\n[log.otlp]\n";
    let errors = errors_of_all(text);
    assert_says(
        &errors,
        &["duplicate table `[log.otlp]`", "sidecar.toml:5:6\n", "written here before"],
    );
}

#[test]
fn a_second_value_of_a_key_is_shown_the_first() {
    let text = "[log]\nlevel = \"warn\"\nconsole = \"json\"\nlevel = \"info\"\n";
    let errors = errors_of_all(text);
    assert_says(
        &errors,
        &[
            "duplicate key `log.level`",
            "--> sidecar.toml:4:1\n",
            "written here before",
            "keep one of the two",
        ],
    );
    let text =
        "[[routes]]\nmatch = \"GET /a\"\n[[routes]]\nmatch = \"GET /b\"\nmatch = \"GET /c\"\n";
    let errors = errors_of_all(text);
    assert_says(&errors, &["duplicate key `routes.match`", "--> sidecar.toml:5:1\n", "4 | match"]);
}

#[test]
fn a_doubled_key_shows_no_value_and_none_between_its_places() {
    let text = "[otlp.headers]\nx-a = \"hidden-1\"\nx-b = \"hidden-2\"\nx-a = \"hidden-3\"\n";
    let errors = errors_of_all(text);
    assert_says(&errors, &["duplicate key `otlp.headers.x-a`", "--> sidecar.toml:4:1\n"]);
    assert!(!errors.to_string().contains("hidden"), "{errors}");
}

#[test]
fn what_an_inline_table_has_twice_is_told_where_it_stands() {
    let errors = errors_of("log = { level = \"warn\", level = \"info\" }");
    assert_says(&errors, &["duplicate key", "--> sidecar.toml:1:25\n", "write each key once"]);
}
