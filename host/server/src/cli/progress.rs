//! Progress of transfers: a bar for each on stderr, if that is a terminal. Long compilations are reported there in any
//! case.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use toolgate_net::remote::TransferProgress;
use toolgate_policy::redact::printable;
use toolgate_runtime::gate::CompileProgress;

use super::output;

/// Progress bars. By default none: the log of a server reports fetches.
#[derive(Default)]
pub(super) struct Bars {
    all: Option<MultiProgress>,
    each: Arc<Mutex<BTreeMap<String, ProgressBar>>>,
}

/// Bars that appear on progress, if stderr is a terminal.
pub(super) fn bars() -> Bars {
    Bars { all: output::is_watched().then(MultiProgress::new), each: Arc::default() }
}

impl Bars {
    /// Callback for the progress of transfers.
    pub(super) fn teller(&self) -> TransferProgress {
        let Some(all) = self.all.clone() else { return Arc::new(|_, _, _| {}) };
        let each = Arc::clone(&self.each);
        Arc::new(move |what, done, total| {
            // Small transfers need no bar.
            const WORTH_BYTES: u64 = 256 * 1024;
            if done.max(total.unwrap_or_default()) < WORTH_BYTES {
                return;
            }
            let mut each = each.lock().unwrap_or_else(PoisonError::into_inner);
            let bar = each.entry(what.to_owned()).or_insert_with(|| {
                let bar = ProgressBar::no_length().with_message(printable(what, 60));
                all.add(styled(bar, "{bytes:>12} of {total_bytes:<12} {wide_bar} {msg}"))
            });
            bar.set_length(total.unwrap_or(done));
            bar.set_position(done);
        })
    }

    /// Callback for long compilations.
    pub(super) fn compiling(&self) -> CompileProgress {
        let (all, each) = (self.all.clone(), Arc::clone(&self.each));
        Arc::new(move |plugin, bytes, took| {
            let line = match took {
                None => format!("plugin {plugin}: compiling {:.1} MB", bytes as f64 / 1e6),
                Some(took) => format!("plugin {plugin}: compiling took {:.1} s", took.as_secs_f64()),
            };
            let mut each = each.lock().unwrap_or_else(PoisonError::into_inner);
            match (&all, took) {
                (None, _) => output::complain(&line),
                (Some(all), None) => {
                    let spinner = ProgressBar::new_spinner().with_message(printable(&line, 100));
                    let bar = all.add(styled(spinner, "{spinner} {msg}, for {elapsed}"));
                    bar.enable_steady_tick(TICK);
                    drop(each.insert(format!("compiling {plugin}"), bar));
                }
                (Some(all), Some(_)) => {
                    if let Some(bar) = each.remove(&format!("compiling {plugin}")) {
                        bar.finish_and_clear();
                    }
                    all.suspend(|| output::complain(&line));
                }
            }
        })
    }

    /// Removes the bars.
    pub(super) fn end(&self) {
        for bar in self.each.lock().unwrap_or_else(PoisonError::into_inner).values() {
            bar.finish_and_clear();
        }
    }
}

impl Drop for Bars {
    fn drop(&mut self) {
        self.end();
    }
}

/// Interval of a spinner.
const TICK: Duration = Duration::from_millis(200);

/// A bar in the style of a template, or else in its own.
fn styled(bar: ProgressBar, template: &str) -> ProgressBar {
    match ProgressStyle::with_template(template) {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}
