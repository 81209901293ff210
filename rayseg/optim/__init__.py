"""What turns gradients into better weights: optimizer wrappers, parameter groups, schedules, averaged weights."""
