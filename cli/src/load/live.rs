//! What is shown while a load lasts: a view that is redrawn on a terminal, else a line now and then.

use std::io::IsTerminal as _;
use std::time::Duration;

use purlin_load::Progress;
use purlin_load_model::plan::{Pace, Plan};
use purlin_load_report::Style;
use purlin_load_report::live::{self, Live, Screen};

use crate::output::Output;

/// How many seconds the sparklines show.
const RECENT: usize = 120;
/// How many seconds pass between two lines where there is no terminal.
const LINE_EVERY: u64 = 10;
/// How wide a terminal is that does not say so.
const WIDTH: usize = 80;

/// How standard output is written to: colours and width as its terminal has them.
pub(crate) fn style() -> Style {
    Style { color: colors(std::io::stdout().is_terminal()), width: width() }
}

fn colors(terminal: bool) -> bool {
    terminal && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

fn width() -> usize {
    terminal_size::terminal_size().map_or(WIDTH, |(width, _)| usize::from(width.0)).max(40)
}

/// What is shown while a load lasts.
pub(crate) struct View {
    live: Live,
    screen: Screen,
    pace: Pace,
    shows: Shows,
    seconds: u64,
}

enum Shows {
    Nothing,
    Lines,
    Frames,
}

impl View {
    /// Of a load as `plan` says.
    pub(crate) fn new(plan: &Plan, quiet: bool) -> View {
        View {
            live: Live {
                target: purlin_load_report::target(plan),
                total: plan.pace.duration(),
                warm_up: plan.warm_up,
                connections_wanted: plan.connections.into(),
                ..Live::default()
            },
            screen: Screen::default(),
            pace: plan.pace.clone(),
            shows: match (quiet, std::io::stderr().is_terminal()) {
                (true, _) => Shows::Nothing,
                (false, true) => Shows::Frames,
                (false, false) => Shows::Lines,
            },
            seconds: 0,
        }
    }

    /// Shows that a second has ended.
    pub(crate) fn show(&mut self, progress: &Progress<'_>, output: &mut Output) {
        self.seconds += 1;
        self.note(progress);
        // A terminal that is gone does not end the load.
        let _ = match self.shows {
            Shows::Nothing => Ok(()),
            Shows::Lines if !self.seconds.is_multiple_of(LINE_EVERY) => Ok(()),
            Shows::Lines => output.note(&live::line(&self.live)),
            Shows::Frames => {
                let style = Style { color: colors(true), width: width() };
                output.raw_note(&self.screen.redraw(&live::frame(&self.live, style), style.width))
            }
        };
    }

    /// Takes what was drawn away, to make room for the result.
    pub(crate) fn clear(&mut self, output: &mut Output) {
        if matches!(self.shows, Shows::Frames) {
            let _ = output.raw_note(&self.screen.clear(width()));
        }
    }

    fn note(&mut self, progress: &Progress<'_>) {
        let (second, total) = (progress.second, progress.tally.total());
        let live = &mut self.live;
        live.elapsed = second.at + Duration::from_secs(1);
        live.intended = match &self.pace {
            Pace::Open { .. } => Some(self.pace.intended_by(live.elapsed) - self.pace.intended_by(second.at)),
            Pace::Closed { .. } => None,
        };
        live.recent.push_back(second.clone());
        if live.recent.len() > RECENT {
            live.recent.pop_front();
        }
        live.succeeded = total.succeeded;
        live.failed = total.failed();
        live.late = progress.tally.late();
        live.not_sent = progress.tally.not_sent;
        live.in_flight = second.in_flight;
        live.connections = progress.open;
    }
}
