"""The cluster recipes hold: Ray's schema, what a run relies on, and every command in them.

No cloud and no Kubernetes is reached; KubeRay's own schema is not in the repository, so the
manifest is held to the fields that a run depends on.
"""

from __future__ import annotations

import re
import shlex
import subprocess
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import typer
import yaml
from ray.autoscaler._private import commands as launcher
from ray.autoscaler._private.util import prepare_config, validate_config

from evolve.cli import app

ROOT = Path(__file__).resolve().parents[3]
RECIPES = ROOT / "experiments" / "cluster"
FILES = sorted(path for path in RECIPES.iterdir() if path.is_file())
MANIFEST = (RECIPES / "kuberay.yaml").read_text()
CONSTRAINTS = (ROOT / "constraints.txt").read_text()
VERBS = "run|check|resume|show|export|levels build"


def read(name: str) -> dict[str, Any]:
    found = yaml.safe_load((RECIPES / name).read_text())
    assert isinstance(found, dict)
    return found


def documents() -> Mapping[str, dict[str, Any]]:
    """What kuberay.yaml declares, by kind."""
    return {each["kind"]: each for each in yaml.safe_load_all(MANIFEST)}


def pods() -> Iterator[tuple[str, dict[str, Any]]]:
    """Each group's name and pod."""
    cluster = documents()["RayJob"]["spec"]["rayClusterSpec"]
    yield "head", cluster["headGroupSpec"]["template"]["spec"]
    for group in cluster["workerGroupSpecs"]:
        yield group["groupName"], group["template"]["spec"]


@pytest.mark.parametrize("name", ["cluster.yaml", "on_premise.yaml"])
def test_ray_accepts_a_cluster_file(name: str) -> None:
    config = prepare_config(read(name))
    validate_config(config)
    commands = [*config["setup_commands"], *config["head_start_ray_commands"]]
    assert any("-c constraints.txt" in command for command in commands)
    with pytest.raises(jsonschema.ValidationError, match="setup_comands"):
        validate_config(config | {"setup_comands": []})


@pytest.mark.parametrize("name", ["cluster.yaml", "on_premise.yaml"])
def test_what_a_cluster_file_mounts_is_the_checkout_and_the_token(name: str) -> None:
    mounts = read(name)["file_mounts"]
    assert mounts == {"~/evolve": ".", "~/.ray/auth_token": "~/.ray/auth_token"}
    starts = [read(name)[f"{who}_start_ray_commands"][-1] for who in ("head", "worker")]
    assert all("RAY_AUTH_MODE=token" in start for start in starts)


def test_the_machines_of_a_cluster_file_only_drive_or_only_evaluate() -> None:
    config = prepare_config(read("cluster.yaml"))
    types = config["available_node_types"]
    assert types[config["head_node_type"]]["resources"] == {"CPU": 0}
    workers = {name: each for name, each in types.items() if name != config["head_node_type"]}
    assert {name: "GPU" in each["resources"] for name, each in workers.items()} == {
        "cpu": False,
        "gpu": True,
    }
    assert workers["gpu"]["min_workers"] == 0  # nobody pays for a device that nothing needs
    assert workers["cpu"]["min_workers"] >= 1
    assert sum(each["max_workers"] for each in workers.values()) == config["max_workers"]
    assert config["docker"]["head_run_options"] == ["--volume /home/ubuntu/runs:/runs"]


def test_machines_that_one_has_are_all_used() -> None:
    """The launcher's dry run, which for these needs no cloud."""
    config = launcher._bootstrap_config(read("on_premise.yaml"), no_config_cache=True)
    (machine,) = config["available_node_types"].values()
    assert machine["min_workers"] == machine["max_workers"] == 2
    assert config["provider"]["head_ip"] not in config["provider"]["worker_ips"]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_the_versions_of_ray_are_the_one_we_install(path: Path) -> None:
    installed = re.search(r"^ray==(.*)$", CONSTRAINTS, flags=re.MULTILINE)
    assert installed is not None
    named = re.findall(r"rayproject/ray:(\d+\.\d+\.\d+)|rayVersion: (\S+)", path.read_text())
    assert {"".join(each) for each in named} <= {installed[1]}
    images = re.findall(r"^\s*(?:- )?(?:worker_)?image: (\S+)$", path.read_text(), re.MULTILINE)
    assert [image for image in images if "." in image.split(":")[0]] == []  # no registry's host


def test_the_extras_that_recipes_install_exist() -> None:
    """Pip only warns of one that does not, and installs the rest."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    asked = set(re.findall(r"-e '\.\[(\w+)\]'", "".join(path.read_text() for path in FILES)))
    assert asked == {"cluster"}
    assert asked <= set(project["optional-dependencies"])


def test_the_run_directory_is_on_a_volume_of_the_head_alone() -> None:
    claim = documents()["PersistentVolumeClaim"]
    assert claim["spec"]["accessModes"] == ["ReadWriteOnce"]
    mounted = {name: paths(pod) for name, pod in pods()}
    assert mounted.pop("head")["/runs"] == {"claimName": claim["metadata"]["name"]}
    assert mounted == {"cpu": {}, "gpu": {}}


def paths(pod: Mapping[str, Any]) -> dict[str, object]:
    """What the pod's one container has of claims and maps, by the path it is mounted at."""
    (container,) = pod["containers"]
    volumes = {
        each["name"]: each.get("persistentVolumeClaim") or each.get("configMap")
        for each in pod.get("volumes", [])
    }
    return {each["mountPath"]: volumes[each["name"]] for each in container.get("volumeMounts", [])}


def test_the_manifest_restarts_a_lost_head_and_keeps_evaluations_off_it() -> None:
    spec = documents()["RayJob"]["spec"]
    assert spec["backoffLimit"] > 0
    assert "entrypointNumCpus" not in spec  # else the driver may run where no volume is
    cluster = spec["rayClusterSpec"]
    assert cluster["headGroupSpec"]["rayStartParams"] == {"num-cpus": "0"}
    assert cluster["enableInTreeAutoscaling"]
    assert len({pod["containers"][0]["image"] for _, pod in pods()}) == 1
    devices = {
        name: pod["containers"][0]["resources"]["limits"].get("nvidia.com/gpu")
        for name, pod in pods()
    }
    assert devices == {"head": None, "cpu": None, "gpu": "1"}


def test_the_job_begins_its_run_once_and_then_resumes_it(tmp_path: Path) -> None:
    """The manifest's script, with a stand-in for `evolve` that says what it was asked for."""
    spec, start = documents()["RayJob"]["spec"], documents()["ConfigMap"]
    head = dict(pods())["head"]
    folder, name = spec["entrypoint"].removeprefix("sh ").rsplit("/", 1)
    assert paths(head)[folder] == {"name": start["metadata"]["name"]}
    script = tmp_path / name
    script.write_text(start["data"][name].replace("=/runs/", f"={tmp_path}/runs/"))
    fake = tmp_path / "evolve"
    fake.write_text('#!/bin/sh\necho "$@"\n')
    fake.chmod(0o755)
    begun = said(script)
    run = tmp_path / "runs" / "dtlz"
    assert begun.split()[0] == "run"
    assert f"--out {run} " in begun
    run.mkdir(parents=True)
    assert said(script) == begun  # a folder without a ledger is no run
    (run / "ledger.sqlite").touch()
    assert said(script) == f"resume {run} --address auto --workers 8 --elastic"


def said(script: Path) -> str:
    done = subprocess.run(
        ["sh", str(script)], capture_output=True, text=True, check=True,
        env={"PATH": f"{script.parent}:/usr/bin:/bin"},
    )  # fmt: skip
    return done.stdout.strip()


def test_the_example_is_where_the_recipes_say() -> None:
    text = "".join(path.read_text() for path in FILES)
    named = set(re.findall(r"/evolve/(experiments/\S+\.py)", text))
    assert named
    assert [name for name in named if not (ROOT / name).is_file()] == []


def commands() -> list[str]:
    """Each `evolve` command of the recipes, and of the README's shell blocks, as it is typed.

    Prose that names a command in backticks is none.
    """
    readme = re.findall(r"```sh\n(.*?)```", (ROOT / "README.md").read_text(), flags=re.DOTALL)
    text = "\n".join([*(path.read_text() for path in FILES), *readme]).replace("\\\n", " ")
    return re.findall(rf"(?<!`)\bevolve (?:{VERBS})\b[^`;|&\n']*", text)


def test_there_are_commands_to_be_checked() -> None:
    assert {command.split()[1] for command in commands()} >= {"run", "resume"}
    assert any("--vault" in path.read_text() and "--backup" in path.read_text() for path in FILES)


@pytest.mark.parametrize("command", sorted(set(commands())))
def test_a_command_is_one_that_we_understand(command: str) -> None:
    group: Any = typer.main.get_command(app)
    _, verb, *words = shlex.split(command, comments=True)
    found = group.commands[verb]
    if verb == "levels":
        found = found.commands[words.pop(0)]
    found.make_context(verb, words)


def test_the_options_that_recipes_speak_of_exist() -> None:
    group: Any = typer.main.get_command(app)
    text = "\n".join(line for path in FILES for line in path.read_text().splitlines())
    spoken = {word for word in ("--vault", "--backup") if word in text}
    options = {option for each in group.commands["run"].params for option in each.opts}
    assert spoken <= options
