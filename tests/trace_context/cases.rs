//! The rules of the recommendation, by name. The groups follow its sections; the cases cover those of
//! the W3C's own test suite.

/// The trace of every caller.
pub(super) const TRACE: &str = "12345678901234567890123456789012";
/// Its span.
pub(super) const PARENT: &str = "1234567890123456";

/// What a caller sends, and what it means if it is believed.
pub(super) struct Case {
    pub(super) name: &'static str,
    pub(super) fields: &'static [(&'static str, &'static str)],
    pub(super) means: Means,
}

/// What a believed context means.
#[derive(Clone, Copy)]
pub(super) enum Means {
    /// A new trace, without a state.
    New,
    /// The same trace, with these flags and this state.
    Continued { flags: &'static str, state: fn() -> Option<String> },
}

/// A well-formed, sampled `traceparent`.
const SENT: (&str, &str) =
    ("traceparent", "00-12345678901234567890123456789012-1234567890123456-01");

macro_rules! none {
    () => {
        || None
    };
}

macro_rules! some {
    ($state:expr) => {
        || Some($state.into())
    };
}

macro_rules! cases {
    (
        parents { $($parent:ident: $value:literal => $means:ident $($flags:literal)?;)* }
        states { $($state:ident: [$($line:literal),*] => $kept:expr;)* }
        heads { $($head:ident: [$($field:expr),*] => $result:expr;)* }
    ) => {
        pub(super) const CASES: &[Case] = &[
            $(Case {
                name: stringify!($parent),
                fields: &[("traceparent", $value)],
                means: means!($means $($flags)?),
            },)*
            $(Case {
                name: stringify!($state),
                fields: &[SENT, $(("tracestate", $line)),*],
                means: Means::Continued { flags: "01", state: $kept },
            },)*
            $(Case { name: stringify!($head), fields: &[$($field),*], means: $result },)*
        ];
    };
}

macro_rules! means {
    (new) => {
        Means::New
    };
    (continued $flags:literal) => {
        Means::Continued { flags: $flags, state: || None }
    };
}

const SAME: Means = Means::Continued { flags: "01", state: || None };

cases! {
    // §3.2 traceparent: each is the only field.
    parents {
        sampled: "00-12345678901234567890123456789012-1234567890123456-01" => continued "01";
        not_sampled: "00-12345678901234567890123456789012-1234567890123456-00" => continued "00";
        random_is_kept: "00-12345678901234567890123456789012-1234567890123456-02" => continued "02";
        sampled_and_random: "00-12345678901234567890123456789012-1234567890123456-03" => continued "03";
        reserved_flag_is_cleared: "00-12345678901234567890123456789012-1234567890123456-04" => continued "00";
        all_reserved_flags_are_cleared: "00-12345678901234567890123456789012-1234567890123456-ff" => continued "03";
        white_space_around_it: " \t 00-12345678901234567890123456789012-1234567890123456-01 \t " => continued "01";
        empty: "" => new;
        version_00_with_a_byte_behind: "00-12345678901234567890123456789012-1234567890123456-01." => new;
        version_00_with_a_part_behind: "00-12345678901234567890123456789012-1234567890123456-01-what-the-future-will-be-like" => new;
        version_00_with_a_dash_behind: "00-12345678901234567890123456789012-1234567890123456-01-" => new;
        later_version: "cc-12345678901234567890123456789012-1234567890123456-01" => continued "01";
        later_version_01: "01-12345678901234567890123456789012-1234567890123456-01" => continued "01";
        later_version_with_a_part_behind: "cc-12345678901234567890123456789012-1234567890123456-01-what-the-future-will-be-like" => continued "01";
        later_version_with_a_dash_behind: "cc-12345678901234567890123456789012-1234567890123456-01-" => continued "01";
        later_version_with_a_byte_behind: "cc-12345678901234567890123456789012-1234567890123456-01.what-the-future-will-be-like" => new;
        later_version_only_sampled_is_known: "cc-12345678901234567890123456789012-1234567890123456-ff" => continued "01";
        later_version_too_short: "cc-12345678901234567890123456789012-1234567890123456-0" => new;
        later_version_zero_trace: "cc-00000000000000000000000000000000-1234567890123456-01" => new;
        version_ff: "ff-12345678901234567890123456789012-1234567890123456-01" => new;
        version_upper_case: "CC-12345678901234567890123456789012-1234567890123456-01" => new;
        version_illegal_first: ".0-12345678901234567890123456789012-1234567890123456-01" => new;
        version_illegal_second: "0.-12345678901234567890123456789012-1234567890123456-01" => new;
        version_too_long: "000-12345678901234567890123456789012-1234567890123456-01" => new;
        version_far_too_long: "0000-12345678901234567890123456789012-1234567890123456-01" => new;
        version_too_short: "0-12345678901234567890123456789012-1234567890123456-01" => new;
        version_missing: "12345678901234567890123456789012-1234567890123456-01" => new;
        trace_id_all_zero: "00-00000000000000000000000000000000-1234567890123456-01" => new;
        trace_id_illegal_first: "00-.2345678901234567890123456789012-1234567890123456-01" => new;
        trace_id_illegal_last: "00-1234567890123456789012345678901.-1234567890123456-01" => new;
        trace_id_upper_case: "00-1234567890123456789012345678901A-1234567890123456-01" => new;
        trace_id_too_long: "00-123456789012345678901234567890123-1234567890123456-01" => new;
        trace_id_too_short: "00-1234567890123456789012345678901-1234567890123456-01" => new;
        parent_id_all_zero: "00-12345678901234567890123456789012-0000000000000000-01" => new;
        parent_id_illegal_first: "00-12345678901234567890123456789012-.234567890123456-01" => new;
        parent_id_illegal_last: "00-12345678901234567890123456789012-123456789012345.-01" => new;
        parent_id_upper_case: "00-12345678901234567890123456789012-123456789012345A-01" => new;
        parent_id_too_long: "00-12345678901234567890123456789012-12345678901234567-01" => new;
        parent_id_too_short: "00-12345678901234567890123456789012-123456789012345-01" => new;
        flags_illegal_first: "00-12345678901234567890123456789012-1234567890123456-.0" => new;
        flags_illegal_second: "00-12345678901234567890123456789012-1234567890123456-0." => new;
        flags_upper_case: "00-12345678901234567890123456789012-1234567890123456-0A" => new;
        flags_too_long: "00-12345678901234567890123456789012-1234567890123456-001" => new;
        flags_too_short: "00-12345678901234567890123456789012-1234567890123456-1" => new;
        flags_missing: "00-12345678901234567890123456789012-1234567890123456" => new;
        not_dashes_between: "00_12345678901234567890123456789012_1234567890123456_01" => new;
        not_ascii: "00-12345678901234567890123456789012-1234567890123456-0\u{e9}" => new;
    }
    // §3.3 tracestate: beside a sampled traceparent that is well formed.
    states {
        no_state: [] => none!();
        one_member: ["foo=1"] => some!("foo=1");
        order_is_kept: ["foo=1,bar=2"] => some!("foo=1,bar=2");
        empty_state: [""] => none!();
        empty_line_behind: ["foo=1", ""] => some!("foo=1");
        empty_line_before: ["", "foo=1"] => some!("foo=1");
        empty_members: ["foo=1,,bar=2, ,"] => some!("foo=1,bar=2");
        lines_are_combined_in_order: ["foo=1,bar=2", "rojo=1,congo=2", "baz=3"] => some!("foo=1,bar=2,rojo=1,congo=2,baz=3");
        same_member_twice: ["foo=1,foo=1"] => some!("foo=1");
        the_newest_of_a_key_is_the_leftmost: ["foo=1,foo=2"] => some!("foo=1");
        a_key_in_two_lines: ["foo=1,bar=3", "foo=2"] => some!("foo=1,bar=3");
        white_space_around_members: ["foo=1 \t , \t bar=2, \t baz=3"] => some!("foo=1,bar=2,baz=3");
        tabs_around_members: ["foo=1\t \t,\t \tbar=2,\t \tbaz=3"] => some!("foo=1,bar=2,baz=3");
        white_space_around_the_line: [" \t foo=1 \t "] => some!("foo=1");
        space_before_a_value_is_the_values: ["foo= 1,bar=2"] => some!("foo= 1,bar=2");
        every_character_of_a_key: ["abcdefghijklmnopqrstuvwxyz0123456789_-*/@a-z=1"] => some!("abcdefghijklmnopqrstuvwxyz0123456789_-*/@a-z=1");
        every_character_of_a_value: ["foo= !\"#$%&'()*+-./0123456789:;<>?@AZ[\\]^_`az{|}~"] => some!("foo= !\"#$%&'()*+-./0123456789:;<>?@AZ[\\]^_`az{|}~");
        key_begins_with_a_digit: ["0foo=1"] => some!("0foo=1");
        at_sign_in_a_key: ["foo@=1,foo@@bar=1,foo@bar@baz=1"] => some!("foo@=1,foo@@bar=1,foo@bar@baz=1");
        key_begins_with_an_at_sign: ["@foo=1,bar=2"] => none!();
        key_begins_with_another: ["_foo=1,bar=2"] => none!();
        key_with_a_space: ["foo =1"] => none!();
        key_upper_case: ["FOO=1"] => none!();
        key_with_a_dot: ["foo.bar=1"] => none!();
        key_empty: ["=1,bar=2"] => none!();
        member_without_a_value: ["foo,bar=2"] => none!();
        value_empty: ["foo=,bar=3"] => none!();
        value_with_an_equals_sign: ["foo=bar=baz"] => none!();
        value_not_ascii: ["foo=\u{e9}"] => none!();
        a_bad_member_costs_the_whole_list: ["foo=1", "BAR=2"] => none!();
        members_32: [
            "b01=1,b02=2,b03=3,b04=4,b05=5,b06=6,b07=7,b08=8,b09=9,b10=0,b11=1,b12=2,b13=3,b14=4,b15=5,b16=6",
            "b17=1,b18=2,b19=3,b20=4,b21=5,b22=6,b23=7,b24=8,b25=9,b26=0,b27=1,b28=2,b29=3,b30=4,b31=5,b32=6"
        ] => some!(concat!(
            "b01=1,b02=2,b03=3,b04=4,b05=5,b06=6,b07=7,b08=8,b09=9,b10=0,b11=1,b12=2,b13=3,b14=4,b15=5,b16=6,",
            "b17=1,b18=2,b19=3,b20=4,b21=5,b22=6,b23=7,b24=8,b25=9,b26=0,b27=1,b28=2,b29=3,b30=4,b31=5,b32=6"
        ));
        members_33: [
            "b01=1,b02=2,b03=3,b04=4,b05=5,b06=6,b07=7,b08=8,b09=9,b10=0,b11=1,b12=2,b13=3,b14=4,b15=5,b16=6",
            "b17=1,b18=2,b19=3,b20=4,b21=5,b22=6,b23=7,b24=8,b25=9,b26=0,b27=1,b28=2,b29=3,b30=4,b31=5,b32=6",
            "b33=1"
        ] => none!();
    }
    // Lengths of keys and values are tried where strings can be repeated: src/http/tracestate.rs.
    heads {
        nothing: [] => Means::New;
        parent_twice: [SENT, SENT] => Means::New;
        two_parents: [SENT, ("traceparent", "00-12345678901234567890123456789011-1234567890123456-01")] => Means::New;
        a_good_and_a_bad_parent: [("traceparent", "00-bad"), SENT] => Means::New;
        state_without_a_parent: [("tracestate", "foo=1")] => Means::New;
        state_beside_a_bad_parent: [("traceparent", "00-bad"), ("tracestate", "foo=1")] => Means::New;
        state_beside_two_parents: [SENT, SENT, ("tracestate", "foo=1")] => Means::New;
        state_beside_a_later_version: [
            ("traceparent", "cc-12345678901234567890123456789012-1234567890123456-01-x"),
            ("tracestate", "foo=1")
        ] => Means::Continued { flags: "01", state: || Some("foo=1".into()) };
        state_beside_a_parent_that_is_not_sampled: [
            ("traceparent", "00-12345678901234567890123456789012-1234567890123456-00"),
            ("tracestate", "foo=1")
        ] => Means::Continued { flags: "00", state: || Some("foo=1".into()) };
        name_in_capitals: [("TRACEPARENT", SENT.1), ("TRACESTATE", "foo=1")]
            => Means::Continued { flags: "01", state: || Some("foo=1".into()) };
        name_in_camels: [("TraceParent", SENT.1), ("TraceState", "foo=1")]
            => Means::Continued { flags: "01", state: || Some("foo=1".into()) };
        name_in_zigzag: [("TrAcEpArEnT", SENT.1), ("TrAcEsTaTe", "foo=1")]
            => Means::Continued { flags: "01", state: || Some("foo=1".into()) };
        another_name_with_a_dash: [("trace-parent", SENT.1)] => Means::New;
        another_name_with_a_dot: [("trace.parent", SENT.1)] => Means::New;
        another_state_with_a_dash: [SENT, ("trace-state", "foo=1")] => SAME;
        another_state_with_a_dot: [SENT, ("trace.state", "foo=1")] => SAME;
    }
}
