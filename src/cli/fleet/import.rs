//! `enforcer report --import`: sends the findings to Security Hub, each to its own account and
//! Region, after a prompt.

use std::time::Duration;

use anyhow::{Result, anyhow, bail};
use tokio::task::spawn_blocking;

use super::asff::Batch;
use super::scope::Surveyed;
use crate::aws::security_hub::{self, Imported};
use crate::cli::paint::{confirm, counted, print_error, print_line};
use crate::cli::progress::shown;
use crate::cli::{FAILED, SUCCESS, visible};
use crate::clock::Clock;

/// Imports the batches, after a prompt unless `yes` is set. A batch that fails does not keep the
/// others from being imported.
pub(super) async fn import(batches: &[Batch], surveyed: &[Surveyed<'_>], yes: bool) -> Result<u8> {
    let count: usize = batches.iter().map(|batch| batch.findings.len()).sum();
    if count == 0 {
        print_line("no findings to import");
        return Ok(SUCCESS);
    }
    if !yes {
        let places: Vec<_> = batches
            .chunk_by(|one, other| (&one.account, &one.region) == (&other.account, &other.region))
            .map(|batches| format!("account {} in {}", batches[0].account, batches[0].region))
            .collect();
        let action = format!("import {} into Security Hub of {}", counted(count, "finding"), places.join(", "));
        let note = "It creates findings, and updates those of earlier imports.";
        if !spawn_blocking(move || confirm(&action, note)).await?? {
            print_line("no finding was imported");
            return Ok(FAILED);
        }
    }
    let (mut code, mut sent) = (SUCCESS, 0);
    let since = Clock::system().instant();
    for batch in batches {
        let Batch { account, region, findings } = batch;
        let importing = |waited: Duration| {
            let findings = counted(count, "finding");
            format!("importing into account {account}, {region}: sent {sent} of {findings} ({} s)", waited.as_secs())
        };
        let imported = shown(since, importing, imported(batch, surveyed)).await;
        sent += findings.len();
        match imported {
            Ok(imported) => {
                let done = counted(imported.success_count, "finding");
                print_line(&format!("imported {done} into Security Hub of account {account} in {region}"));
                for failed in &imported.failed_findings {
                    code = FAILED;
                    print_error(&visible::visible(&format!(
                        "not imported: {}: {}: {}",
                        failed.id, failed.error_code, failed.error_message
                    )));
                }
            }
            Err(error) => {
                code = FAILED;
                print_error(&format!(
                    "not imported: {} of account {account} in {region}: {error}",
                    counted(findings.len(), "finding")
                ));
            }
        }
    }
    Ok(code)
}

/// What became of the findings of one batch, which are sent with the credentials of their account.
async fn imported(batch: &Batch, surveyed: &[Surveyed<'_>]) -> Result<Imported> {
    let Batch { account, region, findings } = batch;
    let is_its = |place: &&Surveyed<'_>| place.scope.account.as_ref() == Some(account) && place.scope.region == *region;
    let Some(Surveyed { target, .. }) = surveyed.iter().find(is_its) else {
        bail!(
            "no credentials of account {account} in {region}: Security Hub accepts findings from their own account only"
        );
    };
    target.begin().await?;
    let imported = Box::pin(security_hub::import(&target.config, &target.clock, findings)).await;
    imported.map_err(|error| anyhow!("{}", visible::visible(&error.failure)))
}
