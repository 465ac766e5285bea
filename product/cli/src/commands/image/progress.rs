//! How transfers show: a line a layer that is redrawn on a terminal, a line a change elsewhere.

use std::collections::BTreeMap;
use std::fmt;

use base::Digest;
use engine::images::{Event, LayerState, Progress};
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::context::Context;
use crate::humanize;

/// Which standard stream shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    /// Standard output.
    Out,
    /// Standard error.
    Err,
}

/// Shows the events of a transfer.
pub struct Display<'a> {
    context: &'a Context,
    stream: Stream,
    bars: Option<MultiProgress>,
    layers: BTreeMap<Digest, Layer>,
}

#[derive(Default)]
struct Layer {
    bar: Option<ProgressBar>,
    /// What was said of it last, without numbers.
    said: &'static str,
}

/// Redraws a second: enough for the eye.
const REDRAWS: u8 = 12;

impl<'a> Display<'a> {
    /// A display on `stream`.
    pub fn new(context: &'a Context, stream: Stream) -> Self {
        let (terminal, target) = match stream {
            Stream::Out => (context.stdout_is_terminal(), ProgressDrawTarget::stdout_with_hz(REDRAWS)),
            Stream::Err => (context.stderr_is_terminal(), ProgressDrawTarget::stderr_with_hz(REDRAWS)),
        };
        let bars = terminal.then(|| MultiProgress::with_draw_target(target));
        Self { context, stream, bars, layers: BTreeMap::new() }
    }

    /// Leaves the bars as they are and goes on below them.
    pub fn finish(&mut self) {
        for layer in self.layers.values() {
            if let Some(bar) = layer.bar.as_ref().filter(|bar| !bar.is_finished()) {
                bar.abandon();
            }
        }
        self.layers.clear();
    }

    /// Prints one line.
    pub fn line(&self, line: impl fmt::Display) {
        match self.stream {
            Stream::Err => self.context.say(line),
            Stream::Out => {
                // A reader that left is noticed by the command's own output.
                let _ = self.context.print_line(line).and_then(|()| self.context.flush());
            }
        }
    }

    fn layer(&mut self, digest: &Digest, state: &LayerState) {
        let known = self.layers.contains_key(digest);
        let layer = self.layers.entry(digest.clone()).or_default();
        // A layer is unpacked while it comes: one bar shows the slower of both.
        let coming = matches!(layer.said, "Downloading" | "Verifying Checksum");
        if coming && matches!(state, LayerState::Extracting { .. }) {
            return;
        }
        if let Some(bars) = &self.bars {
            if !known {
                let bar = bars.add(ProgressBar::new(0).with_style(plain()));
                bar.set_prefix(digest.short().to_owned());
                layer.bar = Some(bar);
            }
            if let Some(bar) = &layer.bar {
                draw(bar, state, layer.said);
            }
            layer.said = title(state);
            return;
        }
        let title = title(state);
        if layer.said == title {
            return;
        }
        layer.said = title;
        // Without a terminal only what is worth a line.
        let line = match state {
            LayerState::Downloading { .. } | LayerState::Extracting { .. } | LayerState::Pushing { .. } => {
                return;
            }
            LayerState::Mounted { from } => format!("{}: {title} {from}", digest.short()),
            _ => format!("{}: {title}", digest.short()),
        };
        self.line(line);
    }
}

impl Progress for Display<'_> {
    fn event(&mut self, event: &Event) {
        if let Event::Layer { layer, state } = event {
            self.layer(layer, state);
        }
    }
}

impl Drop for Display<'_> {
    fn drop(&mut self) {
        self.finish();
    }
}

/// Docker's words.
fn title(state: &LayerState) -> &'static str {
    match state {
        LayerState::Waiting => "Pulling fs layer",
        LayerState::Exists => "Already exists",
        LayerState::Downloading { .. } => "Downloading",
        LayerState::Verifying => "Verifying Checksum",
        LayerState::Downloaded => "Download complete",
        LayerState::Extracting { .. } => "Extracting",
        LayerState::Complete => "Pull complete",
        LayerState::Preparing => "Preparing",
        LayerState::Pushing { .. } => "Pushing",
        LayerState::Pushed => "Pushed",
        LayerState::AlreadyPushed => "Layer already exists",
        LayerState::Mounted { .. } => "Mounted from",
    }
}

fn draw(bar: &ProgressBar, state: &LayerState, said: &str) {
    let title = title(state);
    match state {
        LayerState::Downloading { done, total }
        | LayerState::Extracting { done, total }
        | LayerState::Pushing { done, total } => {
            if said != title {
                bar.set_style(measured());
            }
            bar.set_length(*total);
            bar.set_position(*done);
            bar.set_message(format!("{title:11} {:>7}/{}", humanize::size(*done), humanize::size(*total)));
        }
        LayerState::Mounted { from } => {
            bar.set_style(plain());
            bar.abandon_with_message(format!("{title} {from}"));
        }
        LayerState::Exists | LayerState::Complete | LayerState::Pushed | LayerState::AlreadyPushed => {
            bar.set_style(plain());
            bar.abandon_with_message(title);
        }
        LayerState::Waiting | LayerState::Verifying | LayerState::Downloaded | LayerState::Preparing => {
            if said == "Extracting" {
                return;
            }
            bar.set_style(plain());
            bar.set_message(title);
        }
    }
}

fn plain() -> ProgressStyle {
    ProgressStyle::with_template("{prefix}: {msg}").unwrap_or_else(|_| ProgressStyle::default_bar())
}

fn measured() -> ProgressStyle {
    ProgressStyle::with_template("{prefix}: {msg:28} [{bar:30}]")
        .unwrap_or_else(|_| ProgressStyle::default_bar())
        .progress_chars("=> ")
}
