//! `enforcer plan`: shows a person what the enforcer would change on each stream, and why.
//!
//! The command has no client that could write, so a plan is safe with any credentials.

use anyhow::Result;
use serde_json::json;

use super::row::Row;
use super::table::{View, table};
use super::{Selection, Survey};
use crate::cli::paint::{print_line, width};
use crate::cli::{FAILED, FAILED_AND_PENDING, PENDING, SUCCESS, visible};
use crate::domain::outcome::Status;

#[derive(Debug, clap::Args)]
#[command(after_help = "The command only reads: it has no client that could write.\n\n\
Exit codes:\n  \
0  nothing to change\n  \
1  a stream, an account or a Region failed, a stream is deferred or contested, or its key is at risk\n  \
2  the usage or the settings are wrong, or AWS cannot be reached\n  \
3  there are streams to change\n\n\
With --detailed-exitcode, 1 and 3 exclude each other:\n  \
1  as above, and nothing to change\n  \
3  there are streams to change, and nothing of what 1 means\n  \
4  both\n\n\
Terraform's 2 for pending changes means wrong usage here.\n\n\
Examples:\n  \
enforcer plan --sandbox\n  \
enforcer plan --sandbox --access\n  \
enforcer plan --function kinesis-enforcer --profile prod\n  \
enforcer plan --function kinesis-enforcer --accounts all\n  \
enforcer plan --key alias/streams --region us-east-1,eu-west-1\n  \
enforcer plan --key alias/streams --region all\n  \
enforcer plan orders clicks --json")]
#[expect(clippy::struct_excessive_bools, reason = "each is an option of its own")]
pub(crate) struct Arguments {
    #[command(flatten)]
    selection: Selection,
    /// List the compliant streams, too. Without it, they are only counted, unless streams are
    /// named.
    #[arg(long)]
    all: bool,
    /// Exit with 4 instead of 1 if there are also streams to change.
    #[arg(long)]
    detailed_exitcode: bool,
    /// Show who would lose access to each stream, as `access` does.
    #[arg(long)]
    access: bool,
    /// Print the plan as JSON.
    #[arg(long)]
    json: bool,
}

pub(crate) async fn run(arguments: &Arguments) -> Result<u8> {
    let places = arguments.selection.opened(false).await?;
    let (survey, ..) = Box::pin(arguments.selection.survey(&places, arguments.access)).await?;
    let plan = Plan(survey);
    if arguments.json {
        let Survey { rows, keys_at_risk, failed_regions, not_read, .. } = &plan.0;
        let mut json = json!({
            "streams": rows,
            "keysAtRisk": keys_at_risk,
            "changes": plan.changes(),
            "inAuditMode": rows.iter().filter(|row| row.is_in_audit_mode()).count(),
            "failedRegions": failed_regions,
        });
        if arguments.access {
            json["notRead"] = json!(not_read);
        }
        print_line(&visible::json(&json));
    } else {
        let all = arguments.all || arguments.selection.names_streams();
        print_line(plan.table(View { width: width(), all }).trim_end());
    }
    Ok(plan.exit_code(arguments.detailed_exitcode))
}

/// What would change on each stream.
pub(super) struct Plan(pub(super) Survey);

impl Plan {
    fn changes(&self) -> usize {
        self.0.rows.iter().filter(|row| row.status == Status::WouldEncrypt).count()
    }

    /// What a person reads.
    pub(super) fn table(&self, view: View) -> String {
        table(&self.0, view)
    }

    fn exit_code(&self, detailed: bool) -> u8 {
        let needs_attention = |row: &Row| {
            matches!(
                row.status,
                Status::Failed | Status::Contested | Status::AccessDenied | Status::KeyAtRisk | Status::Deferred
            )
        };
        if !self.0.keys_at_risk.is_empty()
            || !self.0.failed_regions.is_empty()
            || self.0.rows.iter().any(needs_attention)
        {
            if detailed && self.changes() > 0 { FAILED_AND_PENDING } else { FAILED }
        } else if self.changes() > 0 {
            PENDING
        } else {
            SUCCESS
        }
    }
}
