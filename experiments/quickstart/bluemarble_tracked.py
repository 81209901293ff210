# The quickstart in four more places: MLflow (mlflow.db beside the runs, unless MLFLOW_TRACKING_URI names a server),
# Weights & Biases (offline without an API key), TensorBoard (in the run directory), and the report of every run.
_base_ = 'bluemarble_unet.py'
trackers = dict(
    mlflow=dict(type='MLflow', tags=dict(purpose='quickstart'), checkpoints='best'),
    wandb=dict(type='WandB', project='bluemarble'),
    tensorboard=dict(type='TensorBoard'),
)
