//! What long-running parts have to say: their words reach the one that owns standard error.

use std::fmt;

use tokio::sync::mpsc;

use crate::context::Context;

/// Says things to whoever runs the process. Cloned for each part.
#[derive(Clone, Debug)]
pub struct Notices(mpsc::UnboundedSender<Notice>);

/// What was said, to be passed on.
#[derive(Debug)]
pub struct Said(mpsc::UnboundedReceiver<Notice>);

#[derive(Debug)]
enum Notice {
    Say(String),
    Warn(String),
}

/// A way from many parts to one mouth.
pub fn channel() -> (Notices, Said) {
    let (sender, receiver) = mpsc::unbounded_channel();
    (Notices(sender), Said(receiver))
}

impl Notices {
    /// Says something.
    pub fn say(&self, text: impl fmt::Display) {
        // Nobody listens any more when the process ends.
        drop(self.0.send(Notice::Say(text.to_string())));
    }

    /// Warns of something.
    pub fn warn(&self, text: impl fmt::Display) {
        drop(self.0.send(Notice::Warn(text.to_string())));
    }
}

impl Said {
    /// Passes on what is said, for ever: to be raced with the end.
    pub async fn pass_on(&mut self, context: &Context) -> std::convert::Infallible {
        while let Some(notice) = self.0.recv().await {
            match notice {
                Notice::Say(text) => context.say(text),
                Notice::Warn(text) => context.warn(text),
            }
        }
        std::future::pending().await
    }
}
