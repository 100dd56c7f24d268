"""A refusal in AWS's words.

Source: IAM user guide, "Troubleshoot access denied error messages", and real records. Only the wording lives here; the
decision was made before.
"""

from __future__ import annotations

from opentrail.access.decide import Decision
from opentrail.call import Access, Principal
from opentrail.errors import AwsError

ACCESS_DENIED = {
    "s3": ("AccessDenied", 403),
    "s3express": ("AccessDenied", 403),
    "s3-object-lambda": ("AccessDenied", 403),
    "iam": ("AccessDenied", 403),
    "sts": ("AccessDenied", 403),
    "cloudwatch": ("AccessDenied", 403),
    "sqs": ("AccessDenied", 403),
    "sns": ("AuthorizationError", 403),
}
"""IAM prefix -> (error code, status); all others speak JSON and say AccessDeniedException 400."""
UNNAMED = frozenset({"*", "arn:aws:s3:::*"})
"""Resources of operations that address none, which the sentence leaves out."""
_S3 = frozenset({"s3", "s3express", "s3-object-lambda"})
BY_CIPHERTEXT = frozenset({"kms:Decrypt", "kms:ReEncryptFrom"})
"""Actions on a key that the caller has not named: he is not told which it is, nor whether it exists."""
_UNTOLD = (
    "because the resource does not exist in this Region, no resource-based policies allow access, or a resource-based "
    "policy explicitly denies access"
)
_DEFAULT = ("AccessDeniedException", 400)


def refusal(decision: Decision, principal: Principal, question: Access) -> AwsError:
    """The error that a refused caller gets. Strangers to the owner's account are told nothing by S3."""
    service = question.action.partition(":")[0].lower()
    code, status = ACCESS_DENIED.get(service, _DEFAULT)
    stranger = principal.type == "Anonymous" or question.resource_account not in ("", principal.account_id)
    if service in _S3 and (stranger or principal.type == "AWSService"):
        return AwsError(code, "Access Denied", status)
    return AwsError(code, _sentence(decision, principal, question, service), status)


def _sentence(decision: Decision, principal: Principal, question: Access, service: str) -> str:
    who = principal.arn or principal.invoked_by or "anonymous"
    words = [f"User: {who} is not authorized to perform: {question.action}"]
    if question.action in BY_CIPHERTEXT:
        words.append("on the resource associated with this ciphertext")
        if decision.reason == "resource-based policy":
            return " ".join([*words, _UNTOLD])
    elif question.resource not in UNNAMED:
        quote = '"' if service in _S3 else ""
        words.append(f"on resource: {quote}{question.resource}{quote}")
    if decision.explicit_deny:
        article = "an" if decision.reason[:1] in ("i", "a") else "a"
        words.append(f"with an explicit deny in {article} {decision.reason}")
    elif not question.trust or service != "sts":
        words.append(f"because no {decision.reason} allows the {question.action} action")
    return " ".join(words)
