//! What a case consists of: what clients say, and what the upstream does about it.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

/// One case: connections that run side by side, and what the upstream does with the requests it
/// sees, in turn.
#[derive(Clone, Debug)]
pub(super) struct Scenario {
    pub(super) talks: Vec<Talk>,
    pub(super) upstream: Vec<Behaviour>,
}

/// One client connection.
#[derive(Clone, Debug)]
pub(super) struct Talk {
    pub(super) asks: Vec<Ask>,
    /// Says everything at once instead of waiting for answers.
    pub(super) is_pipelined: bool,
    pub(super) end: End,
}

impl Talk {
    /// One request that goes no further than the sidecar.
    pub(super) fn refused() -> Self {
        let ask = Ask::plain(Manner::NamesNoHost);
        Self { asks: vec![ask], is_pipelined: false, end: End::Leave(Leave::Close) }
    }
}

impl Ask {
    /// A GET in one piece.
    pub(super) fn plain(manner: Manner) -> Self {
        Self { method: "GET", body: Body::None, manner, pieces: 1, pause_ms: 0 }
    }
}

/// One request.
#[derive(Clone, Debug)]
pub(super) struct Ask {
    pub(super) method: &'static str,
    pub(super) body: Body,
    pub(super) manner: Manner,
    /// Into how many writes its bytes are cut, with a pause after each.
    pub(super) pieces: usize,
    pub(super) pause_ms: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Body {
    None,
    Length(usize),
    Chunked(usize),
    /// Over the bound, declared.
    TooLarge,
    /// Over the bound, in chunks.
    TooLargeChunked,
    /// A chunk size that is none.
    BadChunk,
    /// Half of what was announced; the connection's end decides what comes then.
    Half,
    HalfChunked,
}

impl Body {
    /// HTTP/1.0 knows no chunks.
    fn without_chunks(self) -> Self {
        match self {
            Self::Chunked(size) => Self::Length(size),
            Self::TooLargeChunked | Self::BadChunk => Self::TooLarge,
            Self::HalfChunked => Self::Half,
            other => other,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Manner {
    Plain,
    Old,
    Absolute,
    ExpectsContinue,
    ExpectsWonders,
    NamesNoHost,
    NamesTwoHosts,
    /// Bytes that are no head at all.
    Nonsense,
}

/// How a client connection ends, after the last answer has been read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    Leave(Leave),
    /// Without reading the last answer.
    Unread(Leave),
    /// After part of a head.
    HalfHead(Leave),
    /// After a head that is none.
    BadHead(&'static str),
    /// After a head that is too long.
    LongHead,
    /// After a head with too many fields.
    ManyFields,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Leave {
    Close,
    Reset,
    /// Closes its write side and reads to the end.
    HalfClose,
    /// Waits until the sidecar closes.
    Stay,
}

/// What the upstream does with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Behaviour {
    /// A whole answer, in pieces.
    Serve {
        form: Form,
        size: usize,
        pieces: usize,
    },
    /// A whole answer, before the request's body is read.
    ServeEarly {
        size: usize,
    },
    /// A whole answer that does not say that the connection closes now.
    ServeAndClose {
        size: usize,
    },
    CloseBeforeHead,
    ResetBeforeHead,
    /// Reads nothing of the body, and closes.
    CloseEarly,
    CutInHead {
        reset: bool,
    },
    CutInBody {
        form: Form,
        reset: bool,
    },
    Garbage,
    HangBeforeHead,
    HangInBody {
        form: Form,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    Length,
    Chunked,
    Trailers,
    UntilClose,
    Events,
    Nothing,
    Old,
}

pub(super) fn scenarios(count: usize) -> impl Strategy<Value = Vec<Scenario>> {
    vec(scenario(), count)
}

fn scenario() -> impl Strategy<Value = Scenario> {
    (vec(talk(), 1..=2), vec(behaviour(), 1..=4))
        .prop_map(|(talks, upstream)| Scenario { talks, upstream })
}

fn talk() -> impl Strategy<Value = Talk> {
    (vec(ask(), 0..=4), prop::bool::weighted(0.15), end())
        .prop_map(|(asks, is_pipelined, end)| Talk { asks, is_pipelined, end })
}

fn ask() -> impl Strategy<Value = Ask> {
    let manner = prop_oneof![
        10 => Just(Manner::Plain),
        1 => Just(Manner::Old),
        1 => Just(Manner::Absolute),
        1 => Just(Manner::ExpectsContinue),
        1 => select(vec![Manner::ExpectsWonders, Manner::NamesNoHost, Manner::NamesTwoHosts]),
    ];
    let body = prop_oneof![
        6 => Just(Body::None),
        4 => (0..2000_usize).prop_map(Body::Length),
        4 => (0..2000_usize).prop_map(Body::Chunked),
        1 => select(vec![Body::TooLarge, Body::TooLargeChunked, Body::BadChunk]),
        1 => select(vec![Body::Half, Body::HalfChunked]),
    ];
    let method = select(vec!["GET", "POST", "POST", "HEAD", "PUT"]);
    (method, body, manner, 1..5_usize, 0..3_u64).prop_map(
        |(method, body, manner, pieces, pause_ms)| {
            let body = if manner == Manner::Old { body.without_chunks() } else { body };
            Ask { method, body, manner, pieces, pause_ms }
        },
    )
}

fn leave() -> impl Strategy<Value = Leave> {
    select(vec![Leave::Close, Leave::Reset, Leave::HalfClose, Leave::Stay])
}

fn end() -> impl Strategy<Value = End> {
    let bad = select(vec![
        "nonsense\r\n\r\n",
        "GET / HTTP/9.9\r\nhost: a\r\n\r\n",
        "GET / HTTP/1.1\r\nbad name: x\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: a\u{1}\r\n\r\n",
        "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: many\r\n\r\n",
        "\u{16}\u{3}\u{1}\u{2}\u{0}\u{1}\u{0}\u{1}",
    ]);
    prop_oneof![
        4 => leave().prop_map(End::Leave),
        3 => leave().prop_map(End::Unread),
        2 => leave().prop_map(End::HalfHead),
        2 => bad.prop_map(End::BadHead),
        1 => select(vec![End::LongHead, End::ManyFields]),
    ]
}

fn behaviour() -> impl Strategy<Value = Behaviour> {
    let form = || {
        use Form::{Chunked, Events, Length, Nothing, Old, Trailers, UntilClose};
        select(vec![Length, Chunked, Trailers, UntilClose, Events, Nothing, Old])
    };
    let cut = || select(vec![Form::Length, Form::Chunked, Form::Events]);
    prop_oneof![
        8 => (form(), 0..20_000_usize, 1..4_usize)
            .prop_map(|(form, size, pieces)| Behaviour::Serve { form, size, pieces }),
        1 => (0..2000_usize).prop_map(|size| Behaviour::ServeEarly { size }),
        2 => (0..2000_usize).prop_map(|size| Behaviour::ServeAndClose { size }),
        1 => Just(Behaviour::CloseBeforeHead),
        1 => Just(Behaviour::ResetBeforeHead),
        1 => Just(Behaviour::CloseEarly),
        1 => any::<bool>().prop_map(|reset| Behaviour::CutInHead { reset }),
        1 => (cut(), any::<bool>()).prop_map(|(form, reset)| Behaviour::CutInBody { form, reset }),
        1 => Just(Behaviour::Garbage),
        1 => Just(Behaviour::HangBeforeHead),
        1 => cut().prop_map(|form| Behaviour::HangInBody { form }),
    ]
}
