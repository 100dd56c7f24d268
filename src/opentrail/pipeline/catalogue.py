"""The action types that a pipeline may declare: what configures them, what goes in, what comes out.

Sources: the CodePipeline user guide (pipeline structure reference, action structure references) for keys and artifact
counts. Whether a provider can be *run* here is not known in this room; a declaration of any of them is valid.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

MANUAL_APPROVAL_TIMEOUT = 7 * 24 * 3600
"""Seconds an approval waits when the action names no time of its own."""
DEFAULT_TIMEOUT = 3600
"""Seconds an action may take when neither it nor its type says otherwise."""


@dataclass(frozen=True, slots=True)
class Property:
    """One key of an action's configuration, as ListActionTypes shows it."""

    name: str
    required: bool = False
    secret: bool = False


@dataclass(frozen=True, slots=True)
class ActionType:
    """A type of action. Artifact counts are (minimum, maximum); `timeout` is in seconds."""

    category: str
    owner: str
    provider: str
    properties: tuple[Property, ...]
    inputs: tuple[int, int]
    outputs: tuple[int, int]
    timeout: int = DEFAULT_TIMEOUT
    version: str = "1"

    @property
    def secrets(self) -> frozenset[str]:
        return frozenset(item.name for item in self.properties if item.secret)


def _keys(text: str) -> tuple[Property, ...]:
    """`Name*` is required, `Name!` secret, `Name*!` both."""
    return tuple(Property(word.rstrip("*!"), "*" in word, "!" in word) for word in text.split())


def _type(kind: str, keys: str, inputs: tuple[int, int], outputs: tuple[int, int], timeout: int = 0) -> ActionType:
    owner, category, provider = kind.split()
    return ActionType(category, owner, provider, _keys(keys), inputs, outputs, timeout or DEFAULT_TIMEOUT)


_HOUR = 3600
_DAY = 24 * _HOUR
_CODEBUILD = "ProjectName* PrimarySource BatchEnabled CombineArtifacts EnvironmentVariables"
_DEPLOY_TO_ECS = (
    "ApplicationName* DeploymentGroupName* TaskDefinitionTemplateArtifact* AppSpecTemplateArtifact* "
    "TaskDefinitionTemplatePath AppSpecTemplatePath Image1ArtifactName Image1ContainerName Image2ArtifactName "
    "Image2ContainerName Image3ArtifactName Image3ContainerName Image4ArtifactName Image4ContainerName"
)
_CLOUDFORMATION = (
    "ActionMode* StackName ChangeSetName TemplatePath TemplateConfiguration Capabilities RoleArn OutputFileName "
    "ParameterOverrides"
)
_NONE, _ONE, _UP_TO_FIVE = (0, 0), (1, 1), (0, 5)

ACTION_TYPES: tuple[ActionType, ...] = (
    _type("AWS Source S3", "S3Bucket* S3ObjectKey* PollForSourceChanges AllowOverrideForS3ObjectKey", _NONE, _ONE),
    _type(
        "AWS Source CodeCommit", "RepositoryName* BranchName* PollForSourceChanges OutputArtifactFormat", _NONE, _ONE
    ),
    _type("AWS Source ECR", "RepositoryName* ImageTag", _NONE, _ONE),
    _type(
        "AWS Source CodeStarSourceConnection",
        "ConnectionArn* FullRepositoryId* BranchName* OutputArtifactFormat DetectChanges",
        _NONE,
        _ONE,
    ),
    _type("ThirdParty Source GitHub", "Owner* Repo* Branch* OAuthToken*! PollForSourceChanges", _NONE, _ONE),
    _type("AWS Build CodeBuild", _CODEBUILD, (1, 5), _UP_TO_FIVE, 8 * _HOUR),
    _type("AWS Test CodeBuild", _CODEBUILD, (1, 5), _UP_TO_FIVE, 8 * _HOUR),
    _type("AWS Compute Commands", "", (1, 10), (0, 1)),
    _type(
        "AWS Deploy S3",
        "BucketName* Extract* ObjectKey KMSEncryptionKeyARN CannedACL CacheControl",
        _ONE,
        _NONE,
        90 * 60,
    ),
    _type("AWS Deploy CodeDeploy", "ApplicationName* DeploymentGroupName*", _ONE, _NONE, 5 * _DAY),
    _type("AWS Deploy CodeDeployToECS", _DEPLOY_TO_ECS, (1, 5), _NONE, 5 * _DAY),
    _type("AWS Deploy ElasticBeanstalk", "ApplicationName* EnvironmentName*", _ONE, _NONE),
    _type("AWS Deploy ECS", "ClusterName* ServiceName* FileName DeploymentTimeout", _ONE, _NONE),
    _type("AWS Deploy CloudFormation", _CLOUDFORMATION, (0, 10), (0, 1), 3 * _DAY),
    _type(
        "AWS Deploy ServiceCatalog",
        "ProductId* TemplateFilePath ProductVersionName ProductVersionDescription ProductType ConfigurationFilePath",
        _ONE,
        _NONE,
    ),
    _type(
        "AWS Deploy AppConfig",
        "Application* Environment* ConfigurationProfile* InputArtifactConfigurationPath* DeploymentStrategy*",
        _ONE,
        _NONE,
    ),
    _type("AWS Invoke Lambda", "FunctionName* UserParameters", _UP_TO_FIVE, _UP_TO_FIVE, _DAY),
    _type("AWS Invoke StepFunctions", "StateMachineArn* ExecutionNamePrefix InputType Input", (0, 1), (0, 1), 7 * _DAY),
    _type(
        "AWS Approval Manual", "NotificationArn ExternalEntityLink CustomData", _NONE, _NONE, MANUAL_APPROVAL_TIMEOUT
    ),
)

_BY_ID = {(t.owner, t.category, t.provider, t.version): t for t in ACTION_TYPES}


def find_action_type(type_id: Mapping[str, str]) -> ActionType | None:
    """The type that an `actionTypeId` names, or None if there is none."""
    return _BY_ID.get((type_id["owner"], type_id["category"], type_id["provider"], type_id["version"]))


def action_types(owner: str = "") -> Iterable[ActionType]:
    """All types, or those of one owner."""
    return (t for t in ACTION_TYPES if not owner or t.owner == owner)
