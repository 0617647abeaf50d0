"""What checkov, cfn-guard and cdk-nag find in the template, held against what its Metadata accepts and docs/SECURITY.md lists.

The scanners see the template without its suppressions. What they find must be what is suppressed: so nothing is found that nobody has accepted,
and nothing is accepted that nobody finds.
"""

import copy
import json
import platform
import re
import subprocess
from pathlib import Path
from typing import NamedTuple

import transform

TOOLS = transform.ROOT / ".tools" / "template"
GUARD = TOOLS / "node_modules" / "@cdklabs" / "cdk-validator-cfnguard"
# The Guard rules of AWS Control Tower's proactive controls: of all services, as they come.
GUARD_RULES = GUARD / "rules" / "control-tower" / "cfn-guard"
SECURITY = transform.ROOT / "docs" / "SECURITY.md"
HEADING = "## Accepted findings of scanners"
# A reason says more than that there is one.
SHORTEST_REASON = 40


def run(*command, codes=(0,), cwd=None):
    result = subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False, cwd=cwd)
    if result.returncode not in codes:
        raise RuntimeError(f"{Path(command[0]).name} ended with {result.returncode}: {(result.stderr or result.stdout)[-2000:]}")
    return result.stdout


class Accepted(NamedTuple):
    """A finding that the Metadata of a resource accepts. cdk-nag's rule has findings of its own, each a text or a regular expression."""

    scanner: str
    rule: str
    resource: str
    reason: str
    finding: str | dict | None = None

    def covers(self, scanner, rule, resource):
        if (scanner, resource) != (self.scanner, self.resource):
            return False
        if self.finding is None:
            return rule == self.rule
        name, _, finding = rule.partition("[")
        finding = finding.removesuffix("]")
        if isinstance(self.finding, dict):
            return name == self.rule and bool(re.search(self.finding["regex"].strip("/"), finding))
        return name == self.rule and finding == self.finding

    def row(self):
        """Its row in docs/SECURITY.md."""
        return f"| {self.scanner} | `{self.rule}` | {self.resource} | {self.reason} |"


def accepted(template):
    """All that the Metadata of resources accepts."""
    found = []
    for name, resource in template["Resources"].items():
        metadata = resource.get("Metadata", {})
        for skip in metadata.get("checkov", {}).get("skip", []):
            found.append(Accepted("checkov", skip["id"], name, skip["comment"]))
        guard = metadata.get("guard", {})
        for rule in guard.get("SuppressedRules", []):
            found.append(Accepted("cfn-guard", rule, name, guard.get("Reasons", {}).get(rule, "")))
        for rule in metadata.get("cdk_nag", {}).get("rules_to_suppress", []):
            for finding in rule.get("applies_to", [None]):
                found.append(Accepted("cdk-nag", rule["id"], name, rule["reason"], finding))
    return found


def bare(template):
    """The template with nothing suppressed."""
    template = copy.deepcopy(template)
    for resource in template["Resources"].values():
        resource.pop("Metadata", None)
    return template


def with_defaults(template):
    """The template as it is deployed where nobody says otherwise: cfn-guard looks at values, and does not know parameters."""

    def value(node):
        if isinstance(node, dict):
            default = template["Parameters"].get(node.get("Ref"), {}).get("Default") if len(node) == 1 else None
            return {key: value(child) for key, child in node.items()} if default is None else default
        return [value(child) for child in node] if isinstance(node, list) else node

    return {**template, "Resources": value(template["Resources"])}


def checkov(template, folder):
    """checkov's findings. It heeds the Metadata itself: of what is accepted it must find nothing in the template as it is."""
    program = [TOOLS / "checkov" / "bin" / "checkov", "--framework", "cloudformation", "--skip-download", "--quiet", "--compact"]
    program += ["--output", "json", "--file"]

    def failed(content):
        path = folder / "template.json"
        path.write_text(json.dumps(content), encoding="utf-8")
        answer = json.loads(run(*program, path, codes=(0, 1)))
        summary = answer["summary"]
        if summary["parsing_errors"] or summary["resource_count"] < len(content["Resources"]) or not summary["passed"]:
            raise RuntimeError(f"checkov did not read the whole template: {summary}")
        return {("checkov", check["check_id"], check["resource"].split(".")[-1]) for check in answer.get("results", {}).get("failed_checks", [])}

    unheeded = {finding for finding in failed(template) if any(one.covers(*finding) for one in accepted(template))}
    if unheeded:
        raise RuntimeError(f"checkov does not heed the template's Metadata: {sorted(unheeded)}")
    return failed(bare(template))


def guard(template, folder):
    """The resources on which a rule of cfn-guard fails."""
    system = {"Linux": "ubuntu", "Darwin": "macos"}[platform.system()]
    machine = {"x86_64": "x86_64", "aarch64": "aarch64", "arm64": "aarch64"}[platform.machine()]
    program = GUARD / "bin" / system / machine / "cfn-guard"
    path = folder / "template.json"
    path.write_text(json.dumps(with_defaults(bare(template))), encoding="utf-8")
    form = ["--show-summary", "none", "--output-format", "json", "--structured"]
    # 19: a rule failed.
    answer = run(program, "validate", "--data", path, "--rules", GUARD_RULES, *form, codes=(0, 19))
    (report,) = json.loads(answer)
    if len(report["compliant"]) < 5:
        raise RuntimeError(f"cfn-guard passed only {report['compliant']}: did it read the template?")

    def places(node):
        if isinstance(node, list):
            return set().union(*map(places, node))
        if isinstance(node, dict):
            here = re.match(r"/Resources/(\w+)", str(node.get("path", "")))
            return ({here[1]} if here else set()) | places(list(node.values()))
        return set()

    found = set()
    for rule in report["not_compliant"]:
        name = rule["Rule"]["name"]
        found |= {("cfn-guard", name, place) for place in places(rule) or {"?"}}
    return found


def nag(template, folder):
    """cdk-nag's findings, of its AwsSolutions pack."""
    path = folder / "template.json"
    path.write_text(json.dumps(bare(template)), encoding="utf-8")
    # Node looks for packages from the script's place upwards.
    script = TOOLS / "nag.mjs"
    script.write_text((Path(__file__).parent / "nag.mjs").read_text(encoding="utf-8"), encoding="utf-8")
    found = json.loads(run("node", script, path))
    return {("cdk-nag", rule, resource) for rule, resource in found}


def listed():
    """The rows of the table in docs/SECURITY.md."""
    section = SECURITY.read_text(encoding="utf-8").partition(HEADING + "\n")[2].partition("\n#")[0]
    return [line for line in section.splitlines() if line.startswith("|")][2:]


def problems(template, folder):
    """Everything that is wrong with the template's exceptions, as texts."""
    known = accepted(template)
    found = checkov(template, folder) | guard(template, folder) | nag(template, folder)
    open_ones = [finding for finding in sorted(found) if not any(one.covers(*finding) for one in known)]
    texts = [f"{scanner}: {resource} fails {rule}" for scanner, rule, resource in open_ones]
    for one in known:
        if not any(one.covers(*finding) for finding in found):
            texts.append(f"{one.scanner}: {one.resource} accepts {one.rule} {one.finding or ''}, which finds nothing there")
        if len(one.reason) < SHORTEST_REASON:
            texts.append(f"{one.scanner}: {one.resource} accepts {one.rule} without a reason to speak of: {one.reason!r}")
    rows, told = list(dict.fromkeys(one.row() for one in known)), listed()
    texts += [f"docs/SECURITY.md lacks the row: {row}" for row in rows if row not in told]
    texts += [f"docs/SECURITY.md has a row too many: {row}" for row in told if row not in rows]
    return texts
