"""ray_cluster.yaml and the policies of deploy/aws, carried out by Ray's own code on moto, an emulator of AWS."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
import yaml
from botocore.exceptions import ClientError
from click.exceptions import ClickException
from moto import mock_aws
from moto.core import set_initial_no_auth_action_count

from farm.errors import StoreError
from farm.setting_types import vram_class
from farm.store.s3 import S3Store
from tests.imports import ROOT

ACCOUNT = "123456789012"  #: moto's
REGION = "us-east-1"
POLICIES = ROOT / "deploy" / "aws"
ROLES = {"framefarm-head": ("store", "launch"), "framefarm-gpu": ("store",)}
HOME = "203.0.113.7/32"
WORLD = "0.0.0.0/0"


@pytest.fixture(scope="module")
def aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """An account with the roles of deploy/aws and a bucket, as docs/how-to/aws.md makes them."""
    from ray.autoscaler._private.aws import config, utils

    with pytest.MonkeyPatch.context() as patch, mock_aws():
        patch.setenv("HOME", str(tmp_path_factory.mktemp("home")))  # Ray writes a key for SSH
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            patch.setenv(name, "testing")
        patch.setenv("AWS_DEFAULT_REGION", REGION)
        patch.delenv("AWS_SESSION_TOKEN", raising=False)
        patch.setattr(boto3, "DEFAULT_SESSION", None)
        for cached in (utils.resource_cache, utils.client_cache, config._get_subnets_or_die):
            cached.cache_clear()
        iam = boto3.client("iam")
        trust = (POLICIES / "ec2-trust.json").read_text()
        for role, policies in ROLES.items():
            iam.create_role(RoleName=role, AssumeRolePolicyDocument=trust)
            for name in policies:
                iam.put_role_policy(RoleName=role, PolicyName=name, PolicyDocument=policy(name))
            iam.create_instance_profile(InstanceProfileName=role)
            iam.add_role_to_instance_profile(InstanceProfileName=role, RoleName=role)
        boto3.client("s3").create_bucket(Bucket="my-bucket")
        yield


@pytest.fixture(scope="module")
def config(aws: None) -> dict[str, Any]:
    """The file, edited."""
    return edited()


@pytest.fixture(scope="module")
def filled(config: dict[str, Any]) -> dict[str, Any]:
    """The configuration that `ray up` makes of it."""
    return bootstrapped(config)


def policy(name: str) -> str:
    """A policy with the words in capitals replaced."""
    return (POLICIES / f"{name}-policy.json").read_text().replace("ACCOUNT", ACCOUNT).replace("BUCKET", "my-bucket")


def cluster() -> dict[str, Any]:
    """The file before it is edited."""
    loaded: dict[str, Any] = yaml.safe_load((ROOT / "ray_cluster.yaml").read_text())
    return loaded


def edited() -> dict[str, Any]:
    """The file with an image, and a group that lets one address use SSH and the nodes each other."""
    ec2 = boto3.client("ec2")
    group = ec2.create_security_group(
        GroupName="framefarm", Description="the farm's nodes", VpcId=ec2.describe_vpcs()["Vpcs"][0]["VpcId"]
    )["GroupId"]
    rules = [
        {"IpProtocol": "tcp", "FromPort": 22, "ToPort": 22, "IpRanges": [{"CidrIp": HOME}]},
        {"IpProtocol": "-1", "UserIdGroupPairs": [{"GroupId": group}]},
    ]
    ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=rules)
    image = ec2.describe_images()["Images"][0]["ImageId"]
    text = json.dumps(cluster()).replace("sg-00000000000000000", group).replace("ami-00000000000000000", image)
    done: dict[str, Any] = json.loads(text)
    return done


def bootstrapped(config: dict[str, Any]) -> dict[str, Any]:
    """Complete a file's configuration as `ray up` does."""
    from ray.autoscaler._private.aws.config import bootstrap_aws
    from ray.autoscaler._private.util import prepare_config

    filled: dict[str, Any] = bootstrap_aws(prepare_config(config))
    return filled


def launch(filled: dict[str, Any], kind: str) -> dict[str, Any]:
    """Start a node of a type as the autoscaler does; return what AWS says of it."""
    from ray.autoscaler._private.aws.node_provider import AWSNodeProvider

    provider = AWSNodeProvider(filled["provider"], filled["cluster_name"])
    node = filled["available_node_types"][kind]["node_config"]
    (started,) = provider.create_node(node, {"ray-node-type": "worker"}, 1).values()
    ec2 = boto3.client("ec2")
    found: dict[str, Any] = ec2.describe_instances(InstanceIds=[started.id])["Reservations"][0]["Instances"][0]
    attribute = "instanceInitiatedShutdownBehavior"
    said = ec2.describe_instance_attribute(InstanceId=started.id, Attribute=attribute)
    return {**found, "shutdown": said["InstanceInitiatedShutdownBehavior"]["Value"]}


def gpu_types() -> dict[str, Any]:
    """The GPU types of the file."""
    return {name: kind for name, kind in cluster()["available_node_types"].items() if "GPU" in kind["resources"]}


def test_gpu_nodes_reach_the_store_and_end_when_they_are_switched_off(filled: dict[str, Any]) -> None:
    """Each has the profile, the group and the shutdown behaviour, at the spot price; the head has its own profile."""
    for kind in gpu_types():
        node = launch(filled, kind)
        assert node["IamInstanceProfile"]["Arn"].endswith(":instance-profile/framefarm-gpu")
        assert [group["GroupName"] for group in node["SecurityGroups"]] == ["framefarm"]
        assert node["InstanceLifecycle"] == "spot"
        assert node["shutdown"] == "terminate"
    assert launch(filled, "head")["IamInstanceProfile"]["Arn"].endswith(":instance-profile/framefarm-head")


def test_gpu_types_are_what_their_labels_say(aws: None) -> None:
    """From 24 to 141 GB, with 32 GiB of memory and more, and a disk that is read faster than gp3 by default."""
    kinds = {kind["node_config"]["InstanceType"]: kind for kind in gpu_types().values()}
    found = boto3.client("ec2").describe_instance_types(InstanceTypes=list(kinds))["InstanceTypes"]
    assert len(found) == len(kinds)
    for each in found:
        kind, (gpu,) = kinds[each["InstanceType"]], each["GpuInfo"]["Gpus"]
        count = gpu["Count"]
        assert each["MemoryInfo"]["SizeInMiB"] >= 32 << 10
        assert kind["resources"] == {"CPU": each["VCpuInfo"]["DefaultVCpus"], "GPU": count, "farm_worker": count}
        assert kind["labels"]["farm/vram-class"] == vram_class(gpu["MemoryInfo"]["SizeInMiB"] / 1024)
        assert kind["node_config"]["BlockDeviceMappings"][0]["Ebs"]["Throughput"] > 125
    assert {kind["labels"]["farm/vram-class"] for kind in kinds.values()} == {"v24", "v48", "v80", "v141"}


def open_to(name: str) -> set[str]:
    """The addresses that the groups of a name let in."""
    groups = boto3.client("ec2").describe_security_groups(Filters=[{"Name": "group-name", "Values": [name]}])
    rules = [rule for group in groups["SecurityGroups"] for rule in group["IpPermissions"]]
    return {address["CidrIp"] for rule in rules for address in rule["IpRanges"]}


def test_ssh_is_open_to_the_address_that_was_chosen(filled: dict[str, Any]) -> None:
    """Ray makes no group beside the one that the file names, and adds no rule to it."""
    assert open_to("framefarm") == {HOME}
    assert open_to("ray-autoscaler-framepack-farm") == set()


def test_a_group_of_rays_would_open_ssh_to_all(config: dict[str, Any]) -> None:
    """So the file names one by its id: `provider.security_group` adds rules to Ray's own, and takes none away."""
    other = copy.deepcopy(config)
    for kind in other["available_node_types"].values():
        del kind["node_config"]["SecurityGroupIds"]
    rule = {"IpProtocol": "tcp", "FromPort": 22, "ToPort": 22, "IpRanges": [{"CidrIp": HOME}]}
    other["provider"]["security_group"] = {"GroupName": "another", "IpPermissions": [rule]}
    bootstrapped(other)
    assert open_to("another") == {HOME, WORLD}


def test_a_file_that_nobody_edited_starts_nothing(aws: None, capsys: pytest.CaptureFixture[str]) -> None:
    """Ray refuses the group that does not exist; its error has no words of its own."""
    with pytest.raises(AssertionError):
        bootstrapped(cluster())
    assert "configured SecurityGroupIds" in capsys.readouterr().err


def as_role(monkeypatch: pytest.MonkeyPatch, role: str) -> None:
    """Take a role's keys, as a node with its profile has them."""
    arn = f"arn:aws:iam::{ACCOUNT}:role/{role}"
    keys = boto3.client("sts").assume_role(RoleArn=arn, RoleSessionName="node")["Credentials"]
    for name, key in (("ACCESS_KEY_ID", "AccessKeyId"), ("SECRET_ACCESS_KEY", "SecretAccessKey")):
        monkeypatch.setenv(f"AWS_{name}", keys[key])
    monkeypatch.setenv("AWS_SESSION_TOKEN", keys["SessionToken"])
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)  # it keeps the keys that it began with


def test_the_head_may_start_and_end_nodes(filled: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """With its role alone, Ray's provider starts a node, lists it and ends it; a GPU node may do nothing of that."""
    from ray.autoscaler._private.aws import utils
    from ray.autoscaler._private.aws.node_provider import AWSNodeProvider

    node = filled["available_node_types"]["l4"]["node_config"]

    def provider(role: str) -> Any:
        as_role(monkeypatch, role)
        utils.resource_cache.cache_clear()
        return AWSNodeProvider(filled["provider"], filled["cluster_name"])

    head = provider("framefarm-head")
    with_policies = set_initial_no_auth_action_count(0)

    @with_policies
    def by_the_head() -> None:
        (name,) = head.create_node(node, {"ray-node-type": "worker"}, 1)
        assert name in head.non_terminated_nodes({})
        head.terminate_node(name)
        assert name not in head.non_terminated_nodes({})
        with pytest.raises(ClientError, match="StopInstances"):
            boto3.client("ec2").stop_instances(InstanceIds=[name])

    by_the_head()
    gpu = provider("framefarm-gpu")

    @with_policies
    def by_a_gpu_node() -> None:
        with pytest.raises(ClickException):  # Ray's provider prints the reason
            gpu.non_terminated_nodes({})
        with pytest.raises(ClientError, match="DescribeInstances"):
            boto3.client("ec2").describe_instances()

    by_a_gpu_node()


@pytest.mark.parametrize("role", ROLES)
def test_a_role_opens_the_farms_prefix_alone(aws: None, monkeypatch: pytest.MonkeyPatch, role: str) -> None:
    """The farm's own store writes, reads, lists and deletes there, and is refused beside it."""
    as_role(monkeypatch, role)

    @set_initial_no_auth_action_count(0)
    def by_the_role() -> None:
        store = S3Store(f"s3://my-bucket/farm/{role}", multipart_bytes=6 << 20)
        assert store.put_if_absent("jobs/one", b"small")
        assert store.put_if_absent("jobs/two", bytes(7 << 20))
        assert store.get("jobs/one") == b"small"
        assert store.list("jobs/") == ["jobs/one", "jobs/two"]
        assert store.existing(["jobs/one", "jobs/three"]) == {"jobs/one"}
        store.delete("jobs/one")
        with pytest.raises(StoreError, match="AccessDenied"):
            S3Store("s3://my-bucket/others").put_if_absent("jobs/one", b"small")

    by_the_role()


def test_the_policies_name_what_the_file_names() -> None:
    """The prefix, the cluster by which a node is known, and the role that the head gives to GPU nodes."""
    config, launching = cluster(), json.loads(policy("launch"))
    assert any("FARM_STORAGE=s3://my-bucket/farm/" in command for command in config["setup_commands"])
    assert json.dumps({"aws:ResourceTag/ray-cluster-name": config["cluster_name"]}) in json.dumps(launching)
    (role,) = [each["Resource"] for each in launching["Statement"] if each["Action"] == "iam:PassRole"]
    assert role == f"arn:aws:iam::{ACCOUNT}:role/framefarm-gpu"
