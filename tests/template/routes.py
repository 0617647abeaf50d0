"""The other routes of deploy/: that the template without a transform is template.yaml."""

import json
import os
import subprocess
import sys

import transform


def plain(folder):
    """What is wrong with the template without a transform; it is left in `folder`."""
    path = folder / "template.cfn.json"
    written = set()
    for seed in ("1", "2"):
        environment = {**os.environ, "PYTHONHASHSEED": seed}
        subprocess.run([sys.executable, "-B", transform.__file__, path], check=True, env=environment, stdout=subprocess.DEVNULL)
        written.add(path.read_text(encoding="utf-8"))
    source, made = transform.source(), json.loads(path.read_text(encoding="utf-8"))
    problems = [] if len(written) == 1 else ["it is not the same each time"]
    if "Transform" in made or "AWS::Serverless" in path.read_text(encoding="utf-8"):
        problems.append("it still needs a transform")

    expected = {name: resource for name, resource in source["Resources"].items() if name != "Function"}
    rest = {name: resource for name, resource in made["Resources"].items() if name not in ("Function", "FunctionEventInvokeConfig")}
    problems += [f"resource {name} is not as in template.yaml" for name in expected.keys() | rest.keys() if expected.get(name) != rest.get(name)]
    for section, added in (("Parameters", transform.CODE_PARAMETERS), ("Conditions", transform.CODE_CONDITIONS), ("Outputs", {})):
        if made[section] != {**source[section], **added}:
            problems.append(f"{section} are not as in template.yaml")

    wanted, function = source["Resources"]["Function"]["Properties"], made["Resources"]["Function"]["Properties"]
    problems += [f"the function's {name} is not as in template.yaml" for name in wanted.keys() - {"CodeUri", "EventInvokeConfig"} if function.get(name) != wanted[name]]
    invoke = made["Resources"]["FunctionEventInvokeConfig"]["Properties"]
    asked = wanted["EventInvokeConfig"]
    if any(invoke[name] != asked[name] for name in ("MaximumRetryAttempts", "MaximumEventAgeInSeconds")):
        problems.append("the function's retries are not as in template.yaml")
    if invoke["DestinationConfig"] != {"OnFailure": {"Destination": asked["DestinationConfig"]["OnFailure"]["Destination"]}}:
        problems.append("the function's on-failure destination is not as in template.yaml")
    if function["Code"] != transform.CODE:
        problems.append("the function's code does not come from CodeBucket and CodeKey")
    return [f"template.cfn.json: {problem}" for problem in problems]
