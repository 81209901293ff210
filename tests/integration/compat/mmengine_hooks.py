"""Three hooks as users write them for MMEngine 0.10.7; the test changes ``from mmengine`` and nothing else."""

from mmengine.dataset import Compose
from mmengine.dist import master_only
from mmengine.hooks import Hook
from mmengine.logging import MessageHub, MMLogger
from mmengine.model import is_model_wrapper
from mmengine.registry import HOOKS


def unwrapped(runner):
    return runner.model.module if is_model_wrapper(runner.model) else runner.model


@HOOKS.register_module()
class FreezeBackboneHook(Hook):
    """Trains the head alone until an iteration."""

    priority = "HIGH"

    def __init__(self, until_iter):
        self.until_iter = until_iter
        self.logger = MMLogger.get_current_instance()

    def before_train(self, runner):
        self.freeze(runner, runner.iter < self.until_iter)

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        if runner.iter == self.until_iter:
            self.freeze(runner, False)
            self.logger.info(f"the backbone is trained from iteration {runner.iter} of {runner.max_iters} on")

    def freeze(self, runner, frozen):
        for parameter in unwrapped(runner).backbone.parameters():
            parameter.requires_grad = not frozen


@HOOKS.register_module(name="LayerStatistics")
class LayerStatisticsHook(Hook):
    """Logs the learning rate of each parameter group, and the norm of each layer's gradient."""

    def __init__(self, interval=2):
        self.interval = interval
        self.norms = {}

    def before_train(self, runner):
        for name, parameter in unwrapped(runner).named_parameters():
            if parameter.requires_grad and name.endswith("weight"):
                parameter.register_hook(lambda grad, name=name: self.norms.update({name: grad.norm().item()}))

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        if not self.every_n_train_iters(runner, self.interval):
            return
        hub = MessageHub.get_current_instance()
        for index, group in enumerate(runner.optim_wrapper.optimizer.param_groups):
            hub.update_scalar(f"train/layer_lr/{index}", group["lr"])
        hub.update_info("layers_seen", sorted(self.norms))
        self.draw(runner)

    @master_only
    def draw(self, runner):
        for name, norm in self.norms.items():
            runner.visualizer.add_scalar(f"train/layer_grad/{name}", norm, step=runner.iter + 1)

    def after_train(self, runner):
        runner.logger.info("layers: %s", ", ".join(runner.message_hub.get_info("layers_seen")))


class SwitchPipelineHook(Hook):
    """Trains on with another augmentation from an iteration on."""

    def __init__(self, switch_iter, pipeline):
        self.switch_iter = switch_iter
        self.pipeline = pipeline
        self.has_switched = False

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        if self.has_switched or runner.iter < self.switch_iter:
            return
        loader = runner.train_loop.dataloader
        loader.dataset.pipeline = Compose(self.pipeline)
        if getattr(loader, "persistent_workers", False):
            loader._DataLoader__initialized = False
            loader._iterator = None
        self.has_switched = True
        runner.logger.info(f"the augmentation changes at iteration {runner.iter}, epoch {runner.epoch}")


HOOKS.register_module(module=SwitchPipelineHook)
