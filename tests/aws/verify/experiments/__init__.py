"""All experiments, in the order in which they are observed: those that wait for events and for the
history come last."""

from __future__ import annotations

from verify.experiments import deployed, encryption, happenings, permissions
from verify.experiments.base import Experiment
from verify.experiments.not_run import NOT_RUN

EXPERIMENTS: tuple[type[Experiment], ...] = (
    deployed.FunctionEncrypts,
    deployed.ForeignStream,
    permissions.KeyArnAuthorised,
    permissions.StartWithoutKms,
    permissions.DeniedCaller,
    encryption.AliasShown,
    encryption.SameKeyRestarts,
    encryption.StateWhileUpdating,
    encryption.RecordsAfterActive,
    encryption.BusyStream,
    encryption.RefusedKeys,
    encryption.SameKeyAgain,
    encryption.QuotaPerStream,
    deployed.TagLag,
    deployed.EventEncrypts,
    happenings.StreamEvents,
    happenings.DeniedStart,
    happenings.DeniedKmsCall,
    happenings.KeyEvents,
    encryption.AliasRepointed,
    happenings.HistoryOfStart,
    happenings.HistoryByKey,
)

__all__ = ["EXPERIMENTS", "NOT_RUN", "Experiment"]
