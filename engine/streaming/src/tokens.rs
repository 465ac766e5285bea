//! Tokens: what a URL stands for, for one use and a minute.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::rand::{SecureRandom as _, SystemRandom};

/// How long a token waits for its client.
pub(crate) const LIFETIME: Duration = Duration::from_secs(60);
/// Tokens that wait at a time.
const TOKENS_MAX: usize = 1000;

/// Too many URLs have been handed out and not been used; some expire within a minute.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("maximum number of in-flight requests exceeded: try again in a minute")]
pub struct TooManyRequests;

/// Requests that wait for their client.
pub(crate) struct Tokens<R> {
    waiting: HashMap<String, (R, Instant)>,
    random: SystemRandom,
}

impl<R> Tokens<R> {
    pub(crate) fn new() -> Self {
        Self { waiting: HashMap::new(), random: SystemRandom::new() }
    }

    /// A token for a request.
    pub(crate) fn issue(&mut self, request: R, now: Instant) -> Result<String, TooManyRequests> {
        self.waiting.retain(|_, (_, until)| *until > now);
        if self.waiting.len() >= TOKENS_MAX {
            return Err(TooManyRequests);
        }
        let mut bytes = [0; 18];
        // Without randomness there are no tokens that cannot be guessed, so there are none.
        self.random.fill(&mut bytes).map_err(|_| TooManyRequests)?;
        let token = URL_SAFE_NO_PAD.encode(bytes);
        self.waiting.insert(token.clone(), (request, now + LIFETIME));
        Ok(token)
    }

    /// The request of a token, which is used up.
    pub(crate) fn take(&mut self, token: &str, now: Instant) -> Option<R> {
        let (request, until) = self.waiting.remove(token)?;
        (until > now).then_some(request)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_good_once_and_for_a_minute() {
        let (mut tokens, now) = (Tokens::new(), Instant::now());
        let (first, second) = (tokens.issue(1, now).unwrap(), tokens.issue(2, now).unwrap());
        assert_ne!(first, second);
        assert_eq!(tokens.take(&first, now), Some(1));
        assert_eq!(tokens.take(&first, now), None);
        assert_eq!(tokens.take(&second, now + LIFETIME), None);
        assert_eq!(tokens.take("", now), None);
    }

    #[test]
    fn there_are_only_so_many() {
        let (mut tokens, now) = (Tokens::new(), Instant::now());
        (0..TOKENS_MAX).for_each(|at| drop(tokens.issue(at, now).unwrap()));
        assert_eq!(tokens.issue(0, now), Err(TooManyRequests));
        assert!(tokens.issue(0, now + LIFETIME).is_ok());
    }
}
