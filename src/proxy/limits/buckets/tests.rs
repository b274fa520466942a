//! Bounds of the store, and what a full one forgets.

use tokio::time::advance;

use super::super::key;
use super::*;

fn buckets(per_second: u32, burst: u32, max_keys: usize) -> (Buckets, Pace) {
    let quota = Quota::per_second(NonZeroU32::new(per_second).unwrap())
        .allow_burst(NonZeroU32::new(burst).unwrap());
    let buckets = Buckets::new(max_keys);
    let pace = buckets.pace(quota);
    (buckets, pace)
}

fn passes(pace: &Pace, key: Key) -> bool {
    matches!(pace.take(key, NonZeroU32::MIN), Answer::Taken { .. })
}

#[tokio::test(start_paused = true)]
async fn a_full_store_sends_newcomers_to_one_shared_bucket_and_forgets_nobody() {
    let (buckets, pace) = buckets(1, 2, 3);
    let known: Vec<Key> = (0..3).map(key::tests::numbered).collect();
    for key in &known {
        assert!(passes(&pace, *key) && passes(&pace, *key));
    }
    let passed = (100..10_000).filter(|n| passes(&pace, key::tests::numbered(*n))).count();
    assert_eq!((passed, buckets.len(), buckets.overflowed()), (2, 3, 9_900));
    assert!(!known.iter().any(|key| passes(&pace, *key)));
}

#[tokio::test(start_paused = true)]
async fn buckets_that_are_full_again_make_room_in_every_shard() {
    let (buckets, pace) = buckets(1, 1, 64);
    assert!((0..64).all(|n| passes(&pace, key::tests::numbered(n))));
    assert!(passes(&pace, key::tests::numbered(64)), "the overflow bucket is full at first");
    assert!(!passes(&pace, key::tests::numbered(65)));
    advance(Duration::from_secs(1)).await;
    assert!((100..164).all(|n| passes(&pace, key::tests::numbered(n))));
    assert_eq!(buckets.len(), 64);
}

#[tokio::test(start_paused = true)]
async fn many_threads_never_pass_the_bound() {
    let (buckets, pace) = buckets(1, 1, 100);
    std::thread::scope(|scope| {
        for thread in 0..4u64 {
            let (buckets, pace) = (&buckets, &pace);
            scope.spawn(move || {
                for n in 0..1_000 {
                    passes(pace, key::tests::numbered(thread * 1_000 + n));
                    assert!(buckets.len() <= 100);
                }
            });
        }
    });
    assert_eq!(buckets.len(), 100);
    let held: usize = buckets.0.0.shards.iter().map(|s| s.lock().full_at.len()).sum();
    assert_eq!(held, 100);
}

#[tokio::test(start_paused = true)]
async fn ten_million_keys_stay_in_bounded_memory_and_free_nobody() {
    let (buckets, pace) = buckets(1, 1, 1_000);
    let limited = key::tests::numbered(u64::MAX - 1);
    assert!(passes(&pace, limited));
    let mut passed = 0;
    for n in 0..10_000_000 {
        passed += u32::from(passes(&pace, key::tests::numbered(n)));
        if n % 1_000_000 == 0 {
            assert!(!passes(&pace, limited), "after {n} keys");
        }
    }
    assert_eq!(passed, 999 + 1, "those with a bucket, and one out of the bucket of all others");
    assert_eq!((buckets.len(), buckets.overflowed()), (1_000, 10_000_000 - 999));
    let room: usize = buckets.0.0.shards.iter().map(|s| s.lock().full_at.capacity()).sum();
    assert!(room < 8_000, "room for {room} buckets is held");
    assert!(!passes(&pace, limited));
    advance(Duration::from_secs(1)).await;
    assert!(passes(&pace, limited));
}

#[tokio::test(start_paused = true)]
async fn a_debt_is_waited_for_and_what_is_given_back_can_be_taken() {
    let (buckets, pace) = buckets(1, 2, 10);
    let (key, second) = (key::tests::numbered(0), Duration::from_secs(1));
    buckets.charge(key, second, -5);
    assert_eq!(buckets.len(), 0, "a full bucket is not kept");
    assert!(passes(&pace, key) && passes(&pace, key));
    assert_eq!(buckets.charge(key, second, 3), 5 * second);
    assert_eq!(pace.take(key, NonZeroU32::MIN), Answer::Empty { wait: 4 * second });
    assert_eq!(buckets.charge(key, second, -4), second);
    assert_eq!(pace.take(key, NonZeroU32::MIN), Answer::Taken { remaining: 0 });
    assert_eq!(buckets.charge(key, second, -100), Duration::ZERO);
    assert_eq!(pace.take(key, NonZeroU32::MIN), Answer::Taken { remaining: 1 });
}

#[tokio::test(start_paused = true)]
async fn no_cost_is_too_large_to_reckon_with() {
    let (buckets, pace) = buckets(1, 2, 10);
    let key = key::tests::numbered(0);
    for _ in 0..3 {
        let owed = buckets.charge(key, Duration::from_secs(1), i64::MAX);
        assert_eq!(owed, Duration::from_nanos(FARTHEST));
    }
    assert!(!passes(&pace, key));
    assert_eq!(buckets.charge(key, Duration::MAX, i64::MIN), Duration::ZERO);
    assert!(passes(&pace, key));
    assert_eq!(pace.take(key, NonZeroU32::MAX), Answer::Empty { wait: Duration::from_secs(1) });
}

#[tokio::test(start_paused = true)]
async fn newcomers_owe_together_and_get_nothing_back() {
    let (buckets, pace) = buckets(1, 2, 1);
    let [known, new, other] = [0, 1, 2].map(key::tests::numbered);
    let second = Duration::from_secs(1);
    assert!(passes(&pace, known) && passes(&pace, new));
    assert_eq!(buckets.charge(new, second, 3), 4 * second);
    assert_eq!(pace.take(other, NonZeroU32::MIN), Answer::Empty { wait: 3 * second });
    buckets.charge(new, second, -4);
    assert_eq!(pace.take(other, NonZeroU32::MIN), Answer::Empty { wait: 3 * second });
    assert!(passes(&pace, known), "who has a bucket owes nothing of that");
    assert_eq!(buckets.overflowed(), 3, "requests, not charges");
}
