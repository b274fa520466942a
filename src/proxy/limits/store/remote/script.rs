//! The one script that a bucket in the store is asked with, and the arithmetic on both sides of it.
//!
//! The script adds, subtracts and compares; what needs a multiplication or a division is done here, in
//! 128 bits of nanoseconds. So nothing is ever rounded, in no place: with two replicas a burst of N is N
//! requests, then one per interval, as with one.

use std::num::NonZeroU32;
use std::time::Duration;

use governor::Quota;
use redis::aio::ConnectionLike;
use redis::{Cmd, ErrorKind, RedisResult, Script, ServerErrorKind};

use super::super::{Answer, SharedKey};

/// See the comments in it.
pub(super) const TEXT: &str = include_str!("take.lua");

const SECOND: i128 = 1_000_000_000;

/// Tokens, as the time in which they come back. In nanoseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Debt(pub(super) i128);

impl Debt {
    /// That many tokens of a quota.
    pub(super) fn of(quota: Quota, tokens: i64) -> Self {
        let interval = i128::try_from(quota.replenish_interval().as_nanos()).unwrap_or(i128::MAX);
        Self(interval.saturating_mul(i128::from(tokens)))
    }

    /// Both halves: whole seconds, and the nanoseconds left. Both have its sign.
    fn halves(self) -> [i64; 2] {
        let half = |n: i128| i64::try_from(n).unwrap_or(if n < 0 { i64::MIN } else { i64::MAX });
        [half(self.0 / SECOND), half(self.0 % SECOND)]
    }
}

/// What a bucket is asked.
#[derive(Clone, Copy, Debug)]
pub(super) struct Question {
    pub(super) key: SharedKey,
    pub(super) quota: Quota,
    /// Tokens to take if they are there; 0 takes none and is never refused.
    pub(super) weight: u32,
    /// What is due besides, whether it is there or not.
    pub(super) due: Debt,
}

/// What the script said: whether the tokens were taken, and what the bucket lacks now.
pub(super) type Reply = (i64, i64, i64);

impl Question {
    /// Asks. One round trip, as long as the server knows the script; else a second, that tells it.
    ///
    /// Not by [`Script::invoke_async`]: that panics where a server answers with another hash than ours.
    pub(super) async fn ask(
        &self,
        script: &Script,
        connection: &mut impl ConnectionLike,
    ) -> RedisResult<Reply> {
        let by_hash = self.command("EVALSHA", script.get_hash());
        match by_hash.query_async(connection).await {
            Err(error) if error.kind() == ErrorKind::Server(ServerErrorKind::NoScript) => {
                self.command("EVAL", TEXT).query_async(connection).await
            }
            answer => answer,
        }
    }

    fn command(&self, name_of_command: &str, script: &str) -> Cmd {
        let mut command = redis::cmd(name_of_command);
        command.arg(script).arg(1).arg(name(self.key));
        for half in self.arguments().as_flattened() {
            command.arg(*half);
        }
        command
    }

    fn arguments(&self) -> [[i64; 2]; 3] {
        let [cost, size] = [i64::from(self.weight), i64::from(self.burst().get())]
            .map(|tokens| Debt::of(self.quota, tokens).halves());
        [cost, size, self.due.halves()]
    }

    fn burst(&self) -> NonZeroU32 {
        self.quota.burst_size()
    }

    /// What a reply means. `None` where it cannot be the script's.
    pub(super) fn read(&self, (taken, seconds, nanos): Reply) -> Option<Answer> {
        if seconds < 0 || !(0..1_000_000_000).contains(&nanos) {
            return None;
        }
        let lacks = i128::from(seconds) * SECOND + i128::from(nanos);
        let size = Debt::of(self.quota, i64::from(self.burst().get())).0;
        match taken {
            1 => {
                let left = (size - lacks).max(0) / Debt::of(self.quota, 1).0.max(1);
                Some(Answer::Taken { remaining: u32::try_from(left).unwrap_or(u32::MAX) })
            }
            0 => {
                let wait = lacks + Debt::of(self.quota, i64::from(self.weight)).0 - size;
                let nanos = u64::try_from(wait.max(1)).unwrap_or(u64::MAX);
                Some(Answer::Empty { wait: Duration::from_nanos(nanos) })
            }
            _ => None,
        }
    }
}

/// The name of a bucket. The braces are what a cluster places it by.
fn name(SharedKey(bits): SharedKey) -> String {
    format!("sidecar:{{{bits:032x}}}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn question(interval: Duration, burst: u32, weight: u32) -> Question {
        let quota = Quota::with_period(interval).unwrap();
        let quota = quota.allow_burst(NonZeroU32::new(burst).unwrap());
        Question { key: SharedKey(0xab), quota, weight, due: Debt::default() }
    }

    #[test]
    fn amounts_go_out_in_halves_of_one_sign() {
        let asked = question(Duration::from_nanos(142_857_142), 70, 3);
        assert_eq!(asked.arguments(), [[0, 428_571_426], [9, 999_999_940], [0, 0]]);
        assert_eq!(Debt(-1_500_000_000).halves(), [-1, -500_000_000]);
        assert_eq!(Debt::of(asked.quota, -7).halves(), [0, -999_999_994]);
        assert_eq!(name(asked.key), format!("sidecar:{{{}ab}}", "0".repeat(30)));
    }

    #[test]
    fn replies_are_read_to_the_nanosecond() {
        let asked = question(Duration::from_secs(1), 5, 2);
        assert_eq!(asked.read((1, 2, 0)), Some(Answer::Taken { remaining: 3 }));
        assert_eq!(asked.read((1, 2, 1)), Some(Answer::Taken { remaining: 2 }));
        assert_eq!(asked.read((1, 9, 0)), Some(Answer::Taken { remaining: 0 }), "it may owe more");
        let wait = Duration::new(0, 7);
        assert_eq!(asked.read((0, 3, 7)), Some(Answer::Empty { wait }));
    }

    #[test]
    fn a_reply_that_cannot_be_the_scripts_is_none() {
        let asked = question(Duration::from_secs(1), 5, 1);
        for reply in [(2, 0, 0), (-1, 0, 0), (1, -1, 0), (1, 0, -1), (0, 0, 1_000_000_000)] {
            assert_eq!(asked.read(reply), None, "{reply:?}");
        }
        let wait = Duration::from_nanos(u64::MAX);
        assert_eq!(asked.read((0, i64::MAX, 0)), Some(Answer::Empty { wait }));
    }
}
