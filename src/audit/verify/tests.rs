//! What an auditor must be told: every kind of tampering, each at its place.

use std::fmt::Write as _;

use super::*;
use crate::audit::sample::{completed, denied, initiated};
use crate::audit::segment_name;

/// A chain of two exchanges and a refusal, as lines.
fn lines() -> Vec<Vec<u8>> {
    let drafts = [initiated(1), initiated(2), completed(1), denied(3), completed(2)];
    let mut chain = Chain::GENESIS;
    drafts
        .iter()
        .map(|draft| {
            let mut line = Vec::new();
            chain.append(draft, &mut line);
            line
        })
        .collect()
}

fn check(bytes: &[u8]) -> Report {
    check_segments(&[(1, bytes)])
}

fn check_segments(segments: &[(u64, &[u8])]) -> Report {
    let mut verifier = Verifier::default();
    for (index, (first, bytes)) in segments.iter().enumerate() {
        let next = segments.get(index + 1).map(|(first, _)| *first);
        verifier.segment(&segment_name(*first), next, &mut &bytes[..]).unwrap();
    }
    verifier.finish()
}

fn first_flaw(report: &Report) -> (u64, Flaw) {
    let (place, flaw) = report.first_flaw.as_ref().expect("a flaw");
    (place.line, *flaw)
}

#[test]
fn a_line_is_canonical_json_in_the_order_of_the_contract() {
    let line = String::from_utf8(lines().concat()).unwrap();
    let third = line.lines().nth(2).unwrap();
    let expected = concat!(
        r#"{"timestamp":"2026-10-22T13:48:42.345Z","event":"ORCHESTRATION_REQUEST","#,
        r#""stage":"completed","result":"success","userId":null,"tenantId":null,"#,
        r#""ipAddress":"192.0.2.7","userAgent":"odd \"agent\"","resourceId":null,"#,
        r#""resourceType":"orchestrate","action":"execute","method":"POST","#,
        r#""path":"/api/orchestrate","route":"/api/orchestrate","requestId":"r-1","#,
        r#""traceId":"abababababababababababababababab","status":200,"durationMs":17,"#,
        r#""mode":"rag_query","queryLength":42,"v":1,"seq":3,"prev":""#,
    );
    assert!(third.starts_with(expected), "{third}\n{expected}");
    assert!(serde_json::from_str::<serde_json::Value>(third).is_ok());
}

#[test]
fn an_untouched_chain_is_fine() {
    let report = check(&lines().concat());
    assert!(report.is_ok(), "{report}");
    assert_eq!((report.records, report.last_seq, report.unannounced), (5, 5, 0));
}

#[test]
fn the_chain_goes_on_over_segments() {
    let lines = lines();
    let (first, second) = (lines[..2].concat(), lines[2..].concat());
    assert!(check_segments(&[(1, &first), (3, &second)]).is_ok());
    assert!(check_segments(&[(1, &first), (3, b"")]).is_intact());
    let report = check_segments(&[(1, &first), (4, &second)]);
    assert!(!report.is_ok(), "{report}");
}

#[test]
fn an_emptied_segment_is_never_fine_unless_a_sidecar_may_just_have_made_it() {
    let lines = lines();
    let (first, rest) = (lines[..2].concat(), lines[2..].concat());
    // All there is, and the newest: it may have held nothing, and only a running sidecar may say so.
    for segments in [&[(1, &b""[..])][..], &[(1, &lines.concat()), (6, b"")]] {
        let mut report = check_segments(segments);
        assert!(report.is_intact() && !report.is_ok(), "{report}");
        assert!(report.to_string().contains("completeness UNKNOWN"), "{report}");
        report.is_live = true;
        assert!(report.is_ok() && report.to_string().contains("is empty"), "{report}");
    }
    // An older one: the next line does not follow.
    let report = check_segments(&[(1, b""), (3, &rest)]);
    assert_eq!(first_flaw(&report), (1, Flaw::WrongSeq { expected: 1, found: 3 }));
    // The newest, and the end of the one before it is cut, too: its name still knows.
    let report = check_segments(&[(1, &first), (6, b"")]);
    assert_eq!(first_flaw(&report), (0, Flaw::Emptied { expected: 3, named: 6 }));
    assert_eq!((report.missing, report.empty.is_some()), (3, true));
}

#[test]
fn a_damaged_trail_is_not_told_why_a_beginning_is_not_there() {
    let printed = |lines: &[Vec<u8>]| check(&lines.concat()).to_string();
    assert!(!printed(&lines()[1..]).contains("note"), "its beginning was taken away");
    let (mut chain, mut alone) = (Chain::GENESIS, Vec::new());
    chain.append(&completed(1), &mut alone);
    assert!(printed(&[alone]).contains("could not be made durable"), "nothing is missing here");
}

#[test]
fn every_changed_byte_is_found_in_its_line() {
    let lines = lines();
    let whole = lines.concat();
    let last = whole.len() - 1;
    for index in 0..whole.len() {
        let mut changed = whole.clone();
        changed[index] ^= 1;
        let report = check(&changed);
        assert!(!report.is_ok(), "byte {index} changed unnoticed");
        let line = whole[..index].split(|byte| *byte == b'\n').count() as u64;
        if index == last {
            assert!(report.torn.is_some());
        } else {
            assert_eq!(first_flaw(&report).0, line, "byte {index}: {report}");
        }
    }
}

#[test]
fn a_changed_value_breaks_the_hash_of_its_line_only() {
    let whole = String::from_utf8(lines().concat()).unwrap();
    let report = check(whole.replacen("\"status\":200", "\"status\":500", 1).as_bytes());
    assert_eq!((first_flaw(&report), report.flaws), ((3, Flaw::WrongHash), 1));
}

#[test]
fn a_deleted_line_is_a_gap() {
    let mut lines = lines();
    lines.remove(3);
    let report = check(&lines.concat());
    assert_eq!(first_flaw(&report), (4, Flaw::WrongSeq { expected: 4, found: 5 }));
    assert_eq!((report.missing, report.is_complete()), (1, false));
}

#[test]
fn a_deleted_first_line_is_a_gap() {
    let report = check(&lines()[1..].concat());
    assert_eq!(first_flaw(&report), (1, Flaw::WrongSeq { expected: 1, found: 2 }));
}

#[test]
fn swapped_and_repeated_lines_are_found() {
    let mut swapped = lines();
    swapped.swap(1, 2);
    assert_eq!(
        first_flaw(&check(&swapped.concat())),
        (2, Flaw::WrongSeq { expected: 2, found: 3 })
    );
    let mut repeated = lines();
    repeated.insert(3, repeated[2].clone());
    let report = check(&repeated.concat());
    assert_eq!(first_flaw(&report), (4, Flaw::WrongSeq { expected: 4, found: 3 }));
    assert_eq!(report.missing, 0);
}

#[test]
fn a_forged_line_does_not_fit_even_with_a_hash_of_its_own() {
    let mut forged = Vec::new();
    let mut chain = Chain::after(5, &"ab".repeat(32)).unwrap();
    chain.append(&denied(9), &mut forged);
    let mut lines = lines();
    lines.push(forged);
    assert_eq!(first_flaw(&check(&lines.concat())), (6, Flaw::WrongPrev));
    lines[5] = b"{\"status\":\"ok\"}\n".to_vec();
    assert_eq!(first_flaw(&check(&lines.concat())), (6, Flaw::NotARecord));
    lines[5] = [vec![b'x'; 3 << 20], b"\n".to_vec()].concat();
    assert_eq!(first_flaw(&check(&lines.concat())), (6, Flaw::TooLong));
}

#[test]
fn a_rewritten_line_breaks_the_next_one() {
    let mut lines = lines();
    let second: serde_json::Value = serde_json::from_slice(&lines[0]).unwrap();
    let mut chain = Chain::after(1, second["hash"].as_str().unwrap()).unwrap();
    lines[1].clear();
    chain.append(&initiated(7), &mut lines[1]);
    assert_eq!(first_flaw(&check(&lines.concat())), (3, Flaw::WrongPrev));
}

#[test]
fn a_cut_at_any_byte_is_a_torn_tail_or_an_open_beginning() {
    let whole = lines().concat();
    for length in 0..whole.len() {
        let report = check(&whole[..length]);
        let is_boundary = length == 0 || whole[length - 1] == b'\n';
        assert_eq!(report.torn.is_some(), !is_boundary, "cut at {length}");
        assert!(report.is_intact(), "cut at {length}: {report}");
        assert!(!report.is_ok(), "cut at {length} unnoticed");
    }
}

#[test]
fn a_hole_with_whole_lines_behind_it_is_torn() {
    let lines = lines();
    let bytes = [lines[0].clone(), vec![0; 100], lines[2].clone()].concat();
    let mut verifier = Verifier::default();
    let extent = verifier.segment(&segment_name(1), None, &mut &bytes[..]).unwrap();
    assert_eq!(extent, Extent { kept: lines[0].len() as u64, total: bytes.len() as u64 });
    assert_eq!(verifier.finish().torn.unwrap().place.line, 2);
}

#[test]
fn what_the_next_segment_replaces_is_no_part_of_the_chain() {
    let lines = lines();
    let (first, second) = (lines[..4].concat(), lines[2..].concat());
    let report = check_segments(&[(1, &first), (3, &second)]);
    assert!(report.is_intact(), "{report}");
    assert_eq!(report.torn.unwrap().place.line, 3);
}

#[test]
fn a_beginning_without_an_end_is_incomplete_unless_it_is_in_flight() {
    let mut report = check(&lines()[..4].concat());
    assert_eq!((report.open.len(), report.open[0].line), (1, 2));
    assert!(report.is_intact() && !report.is_complete());
    report.is_live = true;
    assert!(report.is_ok());
    let printed = report.to_string();
    assert!(printed.contains("1 request in flight"), "{printed}");
}

#[test]
fn an_open_beginning_can_be_closed_from_its_line() {
    let lines = lines();
    let mut chain = Chain::GENESIS;
    let mut bytes = Vec::new();
    chain.append(&initiated(1), &mut bytes);
    let line = bytes[..bytes.len() - 1].to_vec();
    let at = std::time::SystemTime::UNIX_EPOCH;
    assert!(chain.append_end(&line, at, "crash", &mut bytes));
    assert!(!chain.append_end(b"{}", at, "crash", &mut bytes));
    assert!(check(&bytes).is_ok());
    let text = String::from_utf8(bytes).unwrap();
    let end: serde_json::Value = serde_json::from_str(text.lines().nth(1).unwrap()).unwrap();
    assert_eq!(end["timestamp"], "1970-01-01T00:00:00.000Z");
    assert_eq!((&end["result"], &end["reason"]), (&"aborted".into(), &"crash".into()));
    assert_eq!((&end["requestId"], &end["status"]), (&"r-1".into(), &serde_json::Value::Null));
    assert_eq!(lines[0], text.as_bytes()[..lines[0].len()]);
}

#[test]
fn no_segments_are_never_fine() {
    let report = Verifier::default().finish();
    assert!(!report.is_ok());
    assert_eq!(report.to_string(), "no audit segments found\n");
}

#[test]
fn the_program_in_the_module_documentation_accepts_our_chain() {
    // The same steps as the Python there, in the test's own words.
    let (mut prev, mut seq) = ("0".repeat(64), 1);
    for line in String::from_utf8(lines().concat()).unwrap().lines() {
        let record: serde_json::Value = serde_json::from_str(line).unwrap();
        let hashed = format!("{}}}", &line[..line.len() - 75]);
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, hashed.as_bytes());
        let mut hex = String::new();
        for byte in digest.as_ref() {
            write!(hex, "{byte:02x}").unwrap();
        }
        assert_eq!(record["hash"], hex.as_str());
        assert_eq!((&record["prev"], &record["seq"]), (&prev.as_str().into(), &seq.into()));
        (prev, seq) = (hex, seq + 1);
    }
}

/// What an older version makes of the trail of a newer one, after a rollback.
#[test]
fn a_record_of_a_later_format_is_called_so_and_the_chain_goes_on_behind_it() {
    let (mut chain, mut line) = (Chain::GENESIS, Vec::new());
    chain.append(&initiated(1), &mut line);
    let later = String::from_utf8(line).unwrap().replace(r#""v":1,"#, r#""v":2,"#);
    let hashed = later.split_once(r#","hash":"#).unwrap().0;
    let hash = String::from_utf8(chain::hash_of(hashed.as_bytes()).to_vec()).unwrap();
    let mut trail = format!("{hashed},\"hash\":\"{hash}\"}}\n").into_bytes();
    Chain::after(1, &hash).unwrap().append(&completed(1), &mut trail);
    let report = check(&trail);
    assert_eq!((report.flaws, first_flaw(&report)), (1, (1, Flaw::UnknownVersion(2))));
    assert_eq!((report.last_seq, report.open.len()), (2, 0));
}

#[test]
fn audit_md_has_a_chain_that_is_ours_every_field_and_every_event() {
    let document = include_str!("../../../docs/audit.md");
    let (mut chain, mut bytes) = (Chain::GENESIS, Vec::new());
    chain.append(&initiated(1), &mut bytes);
    chain.append(&completed(1), &mut bytes);
    let example = format!("```json\n{}```", String::from_utf8(bytes).unwrap());
    assert!(document.contains(&example), "the example should be:\n{example}");

    let record: serde_json::Value = serde_json::from_slice(&lines()[3][..]).unwrap();
    for field in record.as_object().unwrap().keys() {
        assert!(document.contains(&format!("`{field}`")), "{field}");
    }
    let results = AuditResult::ALL.into_iter().map(AuditResult::as_str);
    for word in Event::ALL.into_iter().map(Event::as_str).chain(results) {
        assert!(document.contains(&format!("`{word}`")), "{word}");
    }
}
