//! W3C Trace Context: `tracestate` (level 2, whose grammar of keys takes in that of level 1).
//!
//! A list that breaks a rule is dropped whole, because nobody can say what else in it is wrong; the
//! trace goes on without it. What is passed on is one line: the members in their order, without empty
//! ones, without the white space around them, each key once (the leftmost, which is the newest).
//!
//! No member of ours is ever added.

/// The members of other systems on the way of a trace, fit to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TraceState(Box<str>);

impl TraceState {
    /// Members a list may have (§3.3.1.1).
    pub const MAX_MEMBERS: usize = 32;
    /// Bytes of the list that is passed on: what everybody should propagate (§3.3.1.5).
    pub const MAX_BYTES: usize = 512;
    /// What is longer goes first where the list is over its bytes (§3.3.1.5).
    const LONG: usize = 128;

    /// Joins the header's lines (§3.3.1). `None` where nothing is in them, and where a member is
    /// malformed or there are more than [`Self::MAX_MEMBERS`]. A list over [`Self::MAX_BYTES`] loses
    /// whole members: those over 128 bytes first, then from its end.
    pub fn parse<'a>(lines: impl Iterator<Item = &'a [u8]>) -> Option<Self> {
        let mut members = [""; Self::MAX_MEMBERS];
        let mut count = 0;
        for member in lines.flat_map(|line| line.split(|byte| *byte == b',')) {
            let member = member.trim_ascii();
            if !member.is_empty() {
                *members.get_mut(count)? = valid(member)?;
                count += 1;
            }
        }
        let members = &mut members[..count];
        for at in 1..count {
            if members[..at].iter().any(|earlier| key(earlier) == key(members[at])) {
                members[at] = "";
            }
        }
        shorten(members);
        let mut joined = String::with_capacity(length(members));
        for member in members.iter().filter(|member| !member.is_empty()) {
            if !joined.is_empty() {
                joined.push(',');
            }
            joined.push_str(member);
        }
        (!joined.is_empty()).then(|| Self(joined.into_boxed_str()))
    }

    /// The list as one header value.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Empties whole members until the list is short enough.
fn shorten(members: &mut [&str]) {
    for least in [TraceState::LONG + 1, 1] {
        for at in (0..members.len()).rev() {
            if length(members) <= TraceState::MAX_BYTES {
                return;
            }
            if members[at].len() >= least {
                members[at] = "";
            }
        }
    }
}

/// The length of the list with its commas.
fn length(members: &[&str]) -> usize {
    let present = members.iter().filter(|member| !member.is_empty());
    present.map(|member| member.len() + 1).sum::<usize>().saturating_sub(1)
}

fn key(member: &str) -> &str {
    member.split('=').next().unwrap_or(member)
}

/// A member as text, where its key and its value follow the grammar (§3.3.1.3).
fn valid(member: &[u8]) -> Option<&str> {
    let member = std::str::from_utf8(member).ok()?;
    let (key, value) = member.split_once('=')?;
    let begins = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let continues = |byte: u8| begins(byte) || b"_-*/@".contains(&byte);
    let is_key =
        key.len() <= 256 && key.bytes().next().is_some_and(begins) && key.bytes().all(continues);
    let is_value = matches!(value.len(), 1..=256)
        && value.bytes().all(|byte| matches!(byte, b' '..=b'~') && byte != b'=')
        && !value.ends_with(' ');
    (is_key && is_value).then_some(member)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse(lines: &[&str]) -> Option<String> {
        let parsed = TraceState::parse(lines.iter().map(|line| line.as_bytes()));
        parsed.map(|state| state.as_str().to_owned())
    }

    #[test]
    fn members_keep_their_order_over_all_lines() {
        let lines = ["foo=1 \t ,\t bar= 2,, ", "", ",rojo=3"];
        assert_eq!(parse(&lines).as_deref(), Some("foo=1,bar= 2,rojo=3"));
        for nothing in ["", " ", ",", " , ,\t"] {
            assert_eq!(parse(&[nothing]), None);
        }
    }

    #[test]
    fn a_key_stays_once_and_the_newest_is_the_leftmost() {
        assert_eq!(parse(&["foo=1,bar=2,foo=3", "bar=2"]).as_deref(), Some("foo=1,bar=2"));
    }

    #[test]
    fn one_bad_member_costs_the_list() {
        let (long, longer) = ("k".repeat(257), "v".repeat(257));
        let (long, longer) = (format!("{long}=1"), format!("foo={longer}"));
        for bad in [
            "foo",
            "=1",
            "foo=",
            "foo= ",
            "Foo=1",
            "foo =1",
            "foo.bar=1",
            "@foo=1",
            "_foo=1",
            "a=b=c",
            "foo=\u{7f}",
            "foo=\u{e9}",
            "f\u{e9}=1",
            "foo=1\t2",
            &long,
            &longer,
        ] {
            assert_eq!(parse(&[bad]), None, "{bad:?}");
            assert_eq!(parse(&["ok=1", bad, "also=2"]), None, "{bad:?}");
        }
    }

    #[test]
    fn what_both_levels_allow_goes_through() {
        let (key, value) = ("k".repeat(256), "v".repeat(255));
        let (long, longer) = (format!("{key}=1"), format!("f={value}~"));
        for good in
            ["0=1", "a@=1", "a@b@c=1", "t-_*/9@v=!\"#$%&'()*+-./:;<>?@[]^`{|}~", &long, &longer]
        {
            assert_eq!(parse(&[good]).as_deref(), Some(good));
        }
    }

    #[test]
    fn there_are_32_members_or_none() {
        let of =
            |count: usize| (0..count).map(|at| format!("k{at}=v,")).collect::<Vec<_>>().concat();
        assert_eq!(parse(&[&of(32)]).map(|state| state.split(',').count()), Some(32));
        assert_eq!(parse(&[&of(33)]), None);
    }

    #[test]
    fn a_list_over_its_bytes_loses_long_members_first_and_then_its_end() {
        let (short, long) = ("s".repeat(100), "l".repeat(200));
        let list = format!("a={long},b={short},c={long},d={short},e={short},f={short}");
        // Without `c` 614 bytes are left, without `a` 411.
        let kept = format!("b={short},d={short},e={short},f={short}");
        assert_eq!(parse(&[&list]), Some(kept));
        let list: Vec<_> = (0..6).map(|at| format!("k{at}={short}")).collect();
        assert_eq!(parse(&[&list.join(",")]), Some(list[..4].join(",")));
    }

    proptest! {
        #[test]
        fn what_is_passed_on_is_valid_and_short(
            lines in proptest::collection::vec("[a-c]{1,2}(=[ -~]{0,200})?(,[ a-c=]{0,9}){0,9}", 0..6)
        ) {
            let lines: Vec<_> = lines.iter().map(String::as_str).collect();
            if let Some(state) = parse(&lines) {
                prop_assert!(state.len() <= TraceState::MAX_BYTES);
                prop_assert_eq!(parse(&[&state]), Some(state.clone()));
            }
        }

        #[test]
        fn any_bytes_are_read_without_panic(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            if let Some(state) = TraceState::parse(bytes.split(|byte| *byte == b'\n')) {
                prop_assert!(state.as_str().bytes().all(|byte| matches!(byte, b' '..=b'~')));
            }
        }
    }
}
