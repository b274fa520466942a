//! Reloads, from the look at the file to the word about it.

use super::*;
use crate::config::SourceFile;

#[tokio::test]
async fn a_file_has_settled_once_it_stays_as_it_is_for_a_look() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("sidecar.toml");
    let mut watch = Watch { file: Some(path.clone()), ..Watch::default() };
    assert!(!watch.has_settled().await && !watch.has_settled().await, "no file yet");
    fs::write(&path, "one").unwrap();
    assert!(!watch.has_settled().await, "it may still be written");
    fs::write(&path, "one more").unwrap();
    assert!(!watch.has_settled().await, "it was");
    assert!(watch.has_settled().await);
    assert!(!watch.has_settled().await && !watch.has_settled().await, "said once");
    fs::remove_file(&path).unwrap();
    assert!(!watch.has_settled().await, "gone is no change: it will be back");
    fs::write(&path, "two").unwrap();
    assert!(!watch.has_settled().await);
    assert!(watch.has_settled().await);
}

/// A file of a valid configuration, and what reads it after so many failures.
fn place(failures: usize) -> (tempfile::TempDir, Source) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("sidecar.toml");
    let text = "upstream.url = \"http://127.0.0.1:3000\"\n".to_owned();
    fs::write(&path, &text).unwrap();
    let file = SourceFile { path: "sidecar.toml".to_owned(), text: text.clone() };
    let sources = Sources { file: Some(file), ..Sources::default() };
    let written = config::load(&sources).unwrap().written;
    let left = Mutex::new(failures);
    let gather = move || {
        let mut left = left.lock();
        let fails = *left > 0;
        *left = left.saturating_sub(1);
        if fails { Err("too many files".to_owned()) } else { Ok(sources.clone()) }
    };
    let gather: Arc<Gather> = Arc::new(gather);
    (directory, Source { gather, file: Some(path), text: Some(text), written })
}

#[tokio::test(start_paused = true)]
async fn a_file_that_could_not_be_read_for_a_moment_is_read_again() {
    let (_directory, source) = place(2);
    let ((handle, asks), (told, mut adopted)) = (channel(None), mpsc::channel(1));
    let stop = CancellationToken::new();
    let running = run(source, asks, move |_| told.try_send(()).unwrap(), stop.clone());
    let watching = async {
        assert_eq!(adopted.recv().await, Some(()));
        stop.cancel();
    };
    timeout(Duration::from_secs(30), async { tokio::join!(running, watching) }).await.unwrap();
    assert_eq!(handle.state().complaint, None);
}

#[tokio::test]
async fn an_attempt_that_hangs_in_reading_does_not_hold_up_the_end() {
    let (_directory, mut source) = place(0);
    let (release, held) = std::sync::mpsc::channel::<()>();
    let (asked, mut begun) = mpsc::channel(1);
    let held = Mutex::new(held);
    source.gather = Arc::new(move || {
        asked.try_send(()).unwrap();
        let _released = held.lock().recv();
        Err("released".to_owned())
    });
    let (handle, asks) = channel(None);
    let stop = CancellationToken::new();
    let asking = handle.reload(Cause::Admin);
    let ending = async {
        begun.recv().await;
        stop.cancel();
    };
    let running = run(source, asks, |_| {}, stop.clone());
    let ended = async { tokio::join!(running, ending, asking).2 };
    let answer = timeout(Duration::from_secs(10), ended).await;
    drop(release);
    assert!(matches!(answer, Ok(Err(NotReloaded::Unheard))), "{answer:?}");
}

#[test]
fn a_file_that_says_what_was_tried_last_is_left_alone() {
    let text = "upstream.url = \"http://127.0.0.1:3000\"\n".to_owned();
    let file = SourceFile { path: "sidecar.toml".to_owned(), text: text.clone() };
    let gather = move || Ok(Sources { file: Some(file.clone()), ..Sources::default() });
    let start = config::load(&gather().unwrap()).unwrap().written;
    assert!(read(&gather, &start, Some(&Some(text))).is_none());
    assert!(read(&gather, &start, Some(&Some("other".to_owned()))).is_some());
    assert!(read(&gather, &start, None).is_some(), "whoever asks is always served");
}
