"""What kopf calls. Handlers put a name on a queue and return; deciding and doing is reconciling's business."""
