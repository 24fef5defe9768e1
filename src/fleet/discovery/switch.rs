//! Work that runs for as long as `host.toml` wants it, whose file is followed.

use std::future::{Future, pending};
use std::pin::pin;

use tokio::sync::watch;

use crate::config::HostConfig;
use crate::util::Shutdown;

/// When work runs.
pub struct Switch {
    /// What the file says.
    pub host: watch::Receiver<HostConfig>,
    /// Whether it wants the work.
    pub wanted: fn(&HostConfig) -> bool,
    /// The daemon's end.
    pub shutdown: Shutdown,
}

impl Switch {
    /// Begins the work each time it is wanted and drops it when it is not any more; what it tells is `nothing` then.
    pub fn run<T, W>(
        mut self,
        tells: watch::Sender<T>,
        nothing: T,
        mut work: impl FnMut(watch::Sender<T>) -> W + Send + 'static,
    ) where
        T: Clone + Send + Sync + 'static,
        W: Future<Output = ()> + Send,
    {
        let shutdown = self.shutdown.clone();
        drop(shutdown.spawn(async move {
            let mut stopped = pin!(self.shutdown.stopped());
            loop {
                tokio::select! {
                    () = &mut stopped => return,
                    () = becomes(&mut self.host, self.wanted, true) => {}
                }
                let working = async {
                    work(tells.clone()).await;
                    pending::<()>().await;
                };
                tokio::select! {
                    () = &mut stopped => return,
                    () = working => {}
                    () = becomes(&mut self.host, self.wanted, false) => {}
                }
                tells.send_replace(nothing.clone());
            }
        }));
    }
}

/// Resolves when the file says so. Where nobody follows it any more, never.
async fn becomes(host: &mut watch::Receiver<HostConfig>, wanted: fn(&HostConfig) -> bool, is: bool) {
    if host.wait_for(|host| wanted(host) == is).await.is_err() {
        pending::<()>().await;
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::config::DiscoveryConfig;

    #[tokio::test]
    async fn work_runs_while_it_is_wanted_and_what_it_told_is_taken_back() {
        let host = |tailscale| HostConfig {
            discovery: DiscoveryConfig { tailscale, devcontainers: false },
            ..HostConfig::default()
        };
        let (file, follows) = watch::channel(host(false));
        let (tells, mut told) = watch::channel(0);
        let shutdown = Shutdown::new();
        let switch =
            Switch { host: follows, wanted: |host| host.discovery.tailscale, shutdown: shutdown.clone() };
        let mut begun = 0;
        switch.run(tells, 0, move |tells| {
            begun += 1;
            let now = begun;
            async move {
                tells.send_replace(now);
            }
        });
        for (wanted, tells) in [(true, 1), (false, 0), (true, 2), (false, 0)] {
            file.send_replace(host(wanted));
            told.wait_for(|told| *told == tells).await.unwrap();
        }
        assert!(shutdown.finish(Duration::from_secs(5)).await, "it ends with the daemon");
    }
}
