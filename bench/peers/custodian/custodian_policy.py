"""What Cloud Custodian writes into the function that it deploys (`c7n.mu.PolicyHandlerTemplate`)."""

from c7n import handler


def run(event, context):
    return handler.dispatch_event(event, context)
