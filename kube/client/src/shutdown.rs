//! The one signal by which everything of a process is asked to end.

use tokio::sync::watch;

/// Returns when the end is asked for (`true`), or nobody can ask any more.
///
/// It may be dropped and asked again: nothing is lost.
pub async fn asked_to_end(shutdown: &mut watch::Receiver<bool>) {
    // What it looked at must not be held while others wait.
    drop(shutdown.wait_for(|ended| *ended).await);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn ends_when_asked_and_when_nobody_can_ask() {
        let (sender, mut receiver) = watch::channel(false);
        let asked = futures_util::FutureExt::now_or_never(asked_to_end(&mut receiver));
        assert_eq!(asked, None);
        sender.send_replace(true);
        asked_to_end(&mut receiver).await;
        let (sender, mut receiver) = watch::channel(false);
        drop(sender);
        asked_to_end(&mut receiver).await;
    }
}
