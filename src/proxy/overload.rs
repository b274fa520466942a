//! How much runs at once: the permits of requests and of streams, and the queue before them.
//!
//! A request takes a permit before anything expensive and gives it back with its record. Where none
//! is free it waits in line, first come first served, until `queue_timeout`; then it is refused with
//! 503 `overloaded`. An answer that turns out to be a stream swaps its permit for a stream's, so that
//! long streams do not starve short requests. Where no stream permit is free it keeps the one it
//! has: the upstream has answered already, and nothing is gained by throwing that away. So at most
//! `max_in_flight + max_streams` exchanges run at once.
//!
//! Who asks is not known yet where a request enters. Once it is, a tenant that has its share already
//! gives the permit back while others wait: see `tenants`.
//!
//! A free permit costs one atomic step each way; nothing is locked, cloned or allocated. Limits that
//! a reload lowers cut nobody: the next ones wait until enough have left.

use std::sync::atomic::{AtomicU16, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use tokio::sync::{Notify, Semaphore};
use tokio::time::{Instant, timeout};

use super::Proxy;
use super::exchange::{Exchange, Stop};
use crate::config::model;
use crate::config::model::Share;
use crate::record::{Phase, Refusal, Step};

mod tenants;

pub use tenants::Holding;

use tenants::Tenants;

/// Requests that wait in line at most; further ones are refused at once. A line this long has more
/// requests than connections are accepted by default, so only HTTP/2 clients can fill it.
const LONGEST_LINE: u64 = 16 * 1024;
/// One that waits, in [`Overload::requests`].
const WAITING: u64 = 1 << 32;

/// What an exchange holds of an [`Overload`]; given back with [`Overload::leave`].
#[derive(Debug, Default, PartialEq, Eq)]
pub enum Permit {
    /// Nothing: it has not come so far.
    #[default]
    None,
    /// One of `max_in_flight`.
    Request,
    /// One of `max_streams`.
    Stream,
}

/// The permits of all requests. See the module.
#[derive(Debug)]
pub struct Overload {
    /// The lower half counts requests in flight, the upper half those that wait: in one word, so that
    /// nobody overtakes the line, and whoever leaves sees whether somebody waits.
    requests: AtomicU64,
    streams: AtomicUsize,
    max_in_flight: AtomicU64,
    max_streams: AtomicUsize,
    /// The head of the line has it; the others wait for it in order.
    turn: Semaphore,
    /// Rung for the head of the line.
    freed: Notify,
    /// In thousandths.
    tenant_share: AtomicU16,
    tenants: Tenants,
}

/// What runs and what waits now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Load {
    /// Permits of requests that are taken.
    pub in_flight: u64,
    /// Permits of streams that are taken.
    pub streams: usize,
    /// Requests in line.
    pub waiting: u64,
}

/// Takes a permit for the exchange, or refuses it once it has waited for `queue_timeout`.
///
/// Cancel safe: a request whose client leaves also leaves the line.
pub async fn enter(proxy: &Proxy, exchange: &mut Exchange) -> Result<(), Stop> {
    let overload = proxy.overload();
    exchange.trail.reached = Step::Overload;
    if !overload.try_enter() {
        exchange.phase = Phase::Limits;
        let patience = exchange.plan.queue_timeout;
        // Boxed, like all that few requests wait for.
        if !Box::pin(overload.wait(patience)).await {
            return Err(Refusal::Overloaded.into());
        }
    }
    exchange.permit = Permit::Request;
    Ok(())
}

/// Refuses the exchange where its tenant has its share of the permits and others wait for one. The
/// permit goes to the next in line when the exchange ends.
pub fn share(proxy: &Proxy, exchange: &mut Exchange) -> Result<(), Refusal> {
    let Some(identity) = exchange.identity.as_deref() else { return Ok(()) };
    let Some(tenant) = identity.tenant().filter(|_| exchange.permit == Permit::Request) else {
        return Ok(());
    };
    let holding = proxy.overload().enter_tenant(tenant, exchange.began());
    exchange.holding = Some(holding.ok_or(Refusal::Overloaded)?);
    Ok(())
}

/// Swaps the exchange's permit for a stream's, where one is free.
pub fn swap(proxy: &Proxy, exchange: &mut Exchange) {
    let overload = proxy.overload();
    if exchange.permit == Permit::Request && overload.try_stream() {
        overload.leave(std::mem::replace(&mut exchange.permit, Permit::Stream));
        overload.leave_tenant(exchange.holding.take());
    }
}

impl Overload {
    /// Permits as configured, all free.
    pub fn new(limits: model::Overload) -> Self {
        Self {
            requests: AtomicU64::new(0),
            streams: AtomicUsize::new(0),
            max_in_flight: AtomicU64::new(limits.max_in_flight as u64),
            max_streams: AtomicUsize::new(limits.max_streams),
            turn: Semaphore::new(1),
            freed: Notify::new(),
            tenant_share: AtomicU16::new(limits.tenant_share.0),
            tenants: Tenants::default(),
        }
    }

    /// Other limits from now on. What has been taken stays taken.
    pub fn resize(&self, limits: model::Overload) {
        self.max_in_flight.store(limits.max_in_flight as u64, Relaxed);
        self.max_streams.store(limits.max_streams, Relaxed);
        self.tenant_share.store(limits.tenant_share.0, Relaxed);
        self.freed.notify_one();
    }

    /// Gives a permit back and lets the next in line have it.
    #[expect(clippy::needless_pass_by_value, reason = "whoever gives it back has it no more")]
    pub fn leave(&self, permit: Permit) {
        match permit {
            Permit::None => {}
            Permit::Request => {
                let before = self.requests.fetch_sub(1, Relaxed);
                if before >= WAITING {
                    self.freed.notify_one();
                }
            }
            Permit::Stream => {
                self.streams.fetch_sub(1, Relaxed);
            }
        }
    }

    /// Counts a permit that was taken for a tenant; `None` where it must not have it.
    fn enter_tenant(&self, tenant: &str, now: Instant) -> Option<Holding> {
        let share = Share(self.tenant_share.load(Relaxed)).of(self.max_in_flight.load(Relaxed));
        let does_anybody_wait = self.requests.load(Relaxed) >= WAITING;
        self.tenants.enter(tenant, now, share, does_anybody_wait)
    }

    /// Gives back what was counted for a tenant.
    pub fn leave_tenant(&self, holding: Option<Holding>) {
        if let Some(who) = holding {
            self.tenants.leave(who);
        }
    }

    /// What runs and waits now.
    pub fn load(&self) -> Load {
        let requests = self.requests.load(Relaxed);
        Load {
            in_flight: requests % WAITING,
            streams: self.streams.load(Relaxed),
            waiting: requests / WAITING,
        }
    }

    /// Takes a permit if one is free and nobody waits for one.
    fn try_enter(&self) -> bool {
        let most = self.max_in_flight.load(Relaxed);
        // With somebody waiting, the word as a whole is above every limit.
        let more = |requests: u64| (requests < most).then_some(requests + 1);
        self.requests.fetch_update(Relaxed, Relaxed, more).is_ok()
    }

    /// Takes a permit if one is free, for the head of the line.
    fn try_leave_line(&self) -> bool {
        let most = self.max_in_flight.load(Relaxed);
        let more = |requests: u64| (requests % WAITING < most).then_some(requests + 1);
        self.requests.fetch_update(Relaxed, Relaxed, more).is_ok()
    }

    fn try_stream(&self) -> bool {
        let most = self.max_streams.load(Relaxed);
        let more = |streams: usize| (streams < most).then_some(streams + 1);
        self.streams.fetch_update(Relaxed, Relaxed, more).is_ok()
    }

    /// Waits in line for a permit; whether there was one in time.
    ///
    /// Cancel safe: a dropped call leaves the line, and a permit that was freed for it goes to the
    /// next.
    async fn wait(&self, patience: Duration) -> bool {
        if patience.is_zero() {
            return false;
        }
        let Some(_place) = Place::take(&self.requests) else { return false };
        let turn = async {
            // Fair, and never closed: each becomes the head in the order of coming.
            let _head = self.turn.acquire().await;
            loop {
                let freed = self.freed.notified();
                // Whoever left before this look is seen by it; whoever leaves after it rings.
                if self.try_leave_line() {
                    return;
                }
                freed.await;
            }
        };
        timeout(patience, turn).await.is_ok()
    }
}

/// A place in the line, left when it is dropped.
struct Place<'a>(&'a AtomicU64);

impl<'a> Place<'a> {
    fn take(requests: &'a AtomicU64) -> Option<Self> {
        let more = |now: u64| (now / WAITING < LONGEST_LINE).then_some(now + WAITING);
        requests.fetch_update(Relaxed, Relaxed, more).ok().map(|_| Self(requests))
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(WAITING, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::future::Future;
    use std::pin::{Pin, pin};
    use std::sync::Arc;
    use std::task::Poll;

    use parking_lot::Mutex;
    use tokio::task::{JoinSet, yield_now};

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(1);

    fn overload(max_in_flight: usize, max_streams: usize) -> Overload {
        Overload::new(limits(max_in_flight, max_streams))
    }

    fn limits(max_in_flight: usize, max_streams: usize) -> model::Overload {
        let tenant_share = Share(500);
        model::Overload { max_in_flight, max_streams, queue_timeout: PATIENCE, tenant_share }
    }

    async fn is_waiting(future: Pin<&mut impl Future<Output = bool>>) -> bool {
        let mut future = future;
        std::future::poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx).is_pending())).await
    }

    #[test]
    fn permits_are_counted_and_come_back() {
        let overload = overload(2, 1);
        assert!(overload.try_enter() && overload.try_enter() && !overload.try_enter());
        assert!(overload.try_stream() && !overload.try_stream());
        assert_eq!(overload.load(), Load { in_flight: 2, streams: 1, waiting: 0 });
        overload.leave(Permit::Request);
        overload.leave(Permit::Stream);
        overload.leave(Permit::None);
        assert_eq!(overload.load(), Load { in_flight: 1, streams: 0, waiting: 0 });
        assert!(overload.try_enter() && overload.try_stream());
    }

    #[tokio::test(start_paused = true)]
    async fn the_line_is_served_in_order_and_nobody_overtakes_it() {
        let overload = Arc::new(overload(1, 0));
        assert!(overload.try_enter());
        let served = Arc::<Mutex<Vec<usize>>>::default();
        let mut line = JoinSet::new();
        for number in 0..5 {
            let (overload, served) = (Arc::clone(&overload), Arc::clone(&served));
            line.spawn(async move {
                assert!(overload.wait(PATIENCE).await);
                served.lock().push(number);
                yield_now().await;
                overload.leave(Permit::Request);
            });
            yield_now().await;
        }
        assert_eq!(overload.load().waiting, 5);
        overload.leave(Permit::Request);
        assert!(!overload.try_enter(), "the permit is free, but the line was first");
        line.join_all().await;
        assert_eq!(*served.lock(), [0, 1, 2, 3, 4]);
        assert_eq!(overload.load(), Load { in_flight: 0, streams: 0, waiting: 0 });
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_waits_too_long_leaves_the_line() {
        let overload = overload(1, 0);
        assert!(overload.try_enter());
        let began = Instant::now();
        assert!(!overload.wait(PATIENCE).await);
        assert_eq!(began.elapsed().as_secs(), 1);
        assert_eq!(overload.load(), Load { in_flight: 1, streams: 0, waiting: 0 });
        assert!(!overload.wait(Duration::ZERO).await, "no line at all");
        assert_eq!(began.elapsed().as_secs(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_permit_freed_for_one_who_left_goes_to_the_next() {
        let overload = overload(1, 0);
        assert!(overload.try_enter());
        let mut second = pin!(overload.wait(PATIENCE));
        {
            let mut first = pin!(overload.wait(PATIENCE));
            assert!(is_waiting(first.as_mut()).await && is_waiting(second.as_mut()).await);
            overload.leave(Permit::Request);
            // The bell has rung for the first, who is dropped here without another look.
        }
        assert!(second.await);
        assert_eq!(overload.load(), Load { in_flight: 1, streams: 0, waiting: 0 });
    }

    #[tokio::test(start_paused = true)]
    async fn raised_limits_let_the_line_in_and_lowered_ones_cut_nobody() {
        let overload = overload(1, 0);
        assert!(overload.try_enter());
        let (mut one, mut two) = (pin!(overload.wait(PATIENCE)), pin!(overload.wait(PATIENCE)));
        assert!(is_waiting(one.as_mut()).await && is_waiting(two.as_mut()).await);
        overload.resize(limits(3, 0));
        assert!(one.await && two.await);
        overload.resize(limits(2, 0));
        overload.leave(Permit::Request);
        assert!(!overload.try_enter());
        overload.leave(Permit::Request);
        assert!(overload.try_enter());
    }

    #[tokio::test(start_paused = true)]
    async fn a_tenant_beyond_its_share_makes_way_for_the_line() {
        let overload = overload(4, 0);
        let now = Instant::now();
        assert!(overload.enter_tenant("b", now).is_some());
        let hog: Vec<_> = (0..3).map(|_| overload.enter_tenant("a", now)).collect();
        assert!(hog.iter().all(Option::is_some), "there is room for more than its half");
        assert!((0..4).all(|_| overload.try_enter()));
        let mut waiting = pin!(overload.wait(PATIENCE));
        assert!(is_waiting(waiting.as_mut()).await);
        assert!(overload.enter_tenant("a", now).is_none());
        assert!(overload.enter_tenant("b", now).is_some(), "the other one has one of its two");
        hog.into_iter().skip(1).for_each(|holding| overload.leave_tenant(holding));
        assert!(overload.enter_tenant("a", now).is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn the_line_has_an_end() {
        let overload = overload(1, 0);
        assert!(overload.try_enter());
        let mut line: Vec<_> =
            (0..LONGEST_LINE).map(|_| Box::pin(overload.wait(PATIENCE))).collect();
        for waiting in &mut line {
            assert!(is_waiting(waiting.as_mut()).await);
        }
        assert!(!is_waiting(pin!(overload.wait(PATIENCE))).await, "refused at once");
        drop(line);
        assert_eq!(overload.load().waiting, 0);
    }
}
