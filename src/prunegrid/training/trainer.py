"""The Hugging Face Trainer with our batches, loss and checkpoints; everything else is the library's."""

import shutil
import signal
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import torch
from torch.utils.data import DataLoader
from transformers import Trainer

from prunegrid.core.errors import PrunegridError
from prunegrid.models.head import Head
from prunegrid.models.probes import check_isolated, check_reads_positions
from prunegrid.training import checkpoints
from prunegrid.training.counters import Account
from prunegrid.training.failures import cause, failed_to
from prunegrid.training.finite import Outcome
from prunegrid.training.job import Order
from prunegrid.training.launch import launcher_is_gone
from prunegrid.training.loss import Inputs, collate, to_device, total_nll
from prunegrid.training.schedule import Example, MicroBatches, forwards

STOPPING = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)
Keep = Callable[[MicroBatches, int], list[list[Example]]]
PATIENCE = 2  # seconds in which another rank can say that it is its loss that is not finite


class PrunedTrainer(Trainer):
    """Loss = sum(weight x NLL) over trainable tokens / trainable tokens of the whole accumulated global batch.

    One of the Trainer's batches is an optimizer step: `plan` has each step's micro-batches of this rank, and
    `keep` makes the samples that are trained on of them. How many forward passes they take is decided here.
    `fallbacks` says which optional kernels are not used, and why.

    Between two passes nothing waits for the device. Whether a step's losses and gradient are finite is known after its
    optimizer step, at the latest in the step after it, and always before anything is saved.
    """

    def __init__(
        self,
        *,
        order: Order,
        plan: list[MicroBatches],
        keep: Keep,
        account: Account,
        fallbacks: dict[str, str],
        **kwargs: Any,
    ):
        super().__init__(train_dataset=plan, **kwargs)
        self.order, self.plan, self.keep, self.account = order, plan, keep, account
        self.fallbacks = fallbacks
        self.causal = self.accelerator.unwrap_model(self.model)
        if order.job.training.method == "lora":
            self.causal = self.causal.get_base_model()
        self.loss_is_scaled_for_ga = True
        self.asked_to_stop: int | None = None
        self.launcher: int | None = None
        self.checked = False
        self.outcome: Outcome | None = None
        self.current: list[int] = []
        for number in STOPPING:
            signal.signal(number, self._ask_to_stop)

    def _ask_to_stop(self, number: int, _: Any) -> None:
        self.asked_to_stop = number

    def get_train_dataloader(self) -> DataLoader[Any]:
        steps = [[step] for step in range(len(self.plan))]
        return DataLoader(self.train_dataset, batch_sampler=steps, collate_fn=lambda items: items[0])

    def everywhere(self, *numbers: int) -> list[list[int]]:
        """The k numbers of every rank."""
        if self.args.world_size == 1:
            return [[*numbers]]
        own = torch.tensor([numbers], dtype=torch.int64, device=self.args.device)
        gathered: list[list[int]] = self.accelerator.gather(own).tolist()
        return gathered

    def most(self, number: int) -> int:
        return max(row[0] for row in self.everywhere(number))

    def ask(self, run: Callable[[], Any]) -> Any:
        """Call the wrapped model in evaluation mode."""
        self.model_wrapped.eval()
        return self.model_wrapped(run=run)

    def get_batch_samples(
        self, epoch_iterator: Iterator[Any], num_batches: int, device: torch.device
    ) -> tuple[list[Any], int]:
        """The step's forward passes, as many on every rank, and the trainable tokens of all ranks."""
        self._go_on_from_checkpoint()
        self._require_finite(wait=self.order.job.pruning is not None)  # its scores would be NaN
        self._stop_if_asked()
        training, step, self.current = self.order.job.training, self.state.global_step, []
        try:
            kept = self.keep(next(epoch_iterator), step)
        except PrunegridError as error:
            raise PrunegridError(f"step {step + 1}: {error}") from error
        passes = forwards(kept, training, self.order.halvings)
        told = self.everywhere(sum(one.trainable for batch in kept for one in batch), len(passes))
        trainable, most = sum(row[0] for row in told), max(row[1] for row in told)
        if not trainable:
            raise PrunegridError(
                f"step {step + 1} has no trainable token: {sum(map(len, kept))} samples are left of its "
                f"{training.per_device_train_batch_size * training.gradient_accumulation_steps * training.ranks}; "
                "take a larger global batch (training.per_device_train_batch_size x gradient_accumulation_steps x "
                "ranks) or a larger sample_ratio"
            )
        passes += [[]] * (most - len(passes))
        inputs = [collate(one, training.packing) for one in passes]
        self.account.count(kept, inputs)
        return [inputs], trainable

    def _go_on_from_checkpoint(self) -> None:
        """At this attempt's first step: losses that the Trainer had summed up, but not logged; its new `save_steps`."""
        if self.account.began is None and self.account.saved:
            self._tr_loss += self.account.unlogged[0]
            self._globalstep_last_logged = self.account.unlogged[1]
            self.state.compute_steps(self.args, len(self.plan))
        self.account.begin()

    def training_step(self, model: Any, inputs: Any, num_items_in_batch: Any = None) -> torch.Tensor:
        """Forward and backward of all passes; gradients are reduced and the weights changed with the last."""
        if not self.checked:
            self._check_model()
        losses = []
        for number, one in enumerate(inputs, start=1):
            self.accelerator.gradient_state._set_sync_gradients(number == len(inputs))
            self.current = one["sample_ids"]
            losses.append(super().training_step(model, one, num_items_in_batch))
        self._require_finite(wait=True)  # the step before; it is over, for DeepSpeed has waited for this one's norm
        samples = [one["sample_ids"] for one in inputs]
        self.outcome = Outcome(self.state.global_step + 1, losses, model.get_global_grad_norm(), samples)
        self._require_finite(wait=False)
        return sum(losses, start=torch.zeros((), device=self.args.device))

    def _require_finite(self, wait: bool) -> None:
        """End the job if the last step's losses or gradient are not finite: at once if known, else on `wait`."""
        if self.outcome is None or not (wait or self.outcome.known):
            return
        outcome, self.outcome = self.outcome, None
        if found := outcome.problem():
            what, samples = found
            if "gradient" in what and self.args.world_size > 1:
                time.sleep(PATIENCE)
            raise PrunegridError(
                f"step {outcome.step}: {what} (sample_id {', '.join(map(str, samples[:8]))}"
                f"{', ...' if len(samples) > 8 else ''}); lower training.learning_rate or look at these samples"
            )

    def _prepare_inputs(self, inputs: Inputs) -> Inputs:
        """The Trainer would wait for each copy, and round the samples' weights to the model's precision."""
        return to_device(inputs, self.args.device)

    def _clip_grad_norm(self, model: Any) -> Any:
        return model.get_global_grad_norm()

    def _get_grad_norm(self, model: Any, grad_norm: Any = None) -> Any:
        """What is logged; the Trainer would wait for it in steps that it does not log, too."""
        return model.get_global_grad_norm()

    def _check_model(self) -> None:
        """Refuse a model whose logits are not its head's own, which has packed samples see each other, or which does
        not read the position ids that `removal: drop` leaves gaps in."""
        self.checked = True
        self.ask(partial(Head, self.causal))
        if self.order.job.training.packing:
            self.ask(partial(check_isolated, self.causal))
        if self.order.job.training.removal == "drop":
            self.ask(partial(check_reads_positions, self.causal))

    def compute_loss(
        self, model: Any, inputs: Any, return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        """This pass's share of the global loss, times the ranks, since gradients are averaged over them."""
        total = model(run=partial(total_nll, self.causal, inputs))
        return total / num_items_in_batch * self.accelerator.num_processes

    def _check_weights(self) -> None:
        """Refuse to save weights that no run can go on from; at ZeRO 0 DeepSpeed tells no gradient's norm."""
        shards = (getattr(parameter, "ds_tensor", parameter) for parameter in self.model.parameters())
        finite = torch.stack([shard.isfinite().all() for shard in shards]).all()
        if self.most(not finite):
            raise PrunegridError(
                f"the weights are not finite after step {self.state.global_step}; lower training.learning_rate; "
                f"{checkpoints.intact(self.order.checkpoints, self.order.identity)}"
            )

    def _stop_if_asked(self) -> None:
        """All ranks agree at the boundary between two steps: if any was asked to stop, save and end."""
        if self.is_world_process_zero() and self.launcher is not None and launcher_is_gone(self.launcher):
            self.asked_to_stop = signal.SIGHUP
        number = self.most(self.asked_to_stop or 0)
        if number:
            step = self.state.global_step
            if step > self.account.saved:
                self._save_checkpoint(self.model_wrapped, None)
            raise PrunegridError(
                f"stopped by {signal.Signals(number).name} after step {step} of {len(self.plan)}"
                f"{', which is saved; the same command goes on from there' if step else ''}"
            )

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        """Weights, optimizer, scheduler, random states, position and counts, written aside and then renamed."""
        self._require_finite(wait=True)
        folder, step = self.order.checkpoints, self.state.global_step
        temporary = checkpoints.saving_folder(folder, step)
        began = time.monotonic()
        self._check_weights()
        try:
            temporary.mkdir(parents=True, exist_ok=True)
            self.account.unlogged = (float(self._tr_loss), self._globalstep_last_logged)
            self._save_optimizer_and_scheduler(str(temporary))
            self._save_rng_state(str(temporary))
            self.account.save(temporary)
            if self.is_world_process_zero():
                self.state.save_to_json(str(temporary / "trainer_state.json"))
            self.accelerator.wait_for_everyone()
            if self.is_world_process_zero():
                checkpoints.commit(folder, step, self.order.identity)
            self.accelerator.wait_for_everyone()
        except (OSError, RuntimeError) as error:
            if cause(error) in ("memory", "lost"):
                raise
            message = failed_to(f"save step {step}", folder, error)
            shutil.rmtree(temporary, ignore_errors=True)
            raise PrunegridError(f"{message}; {checkpoints.intact(folder, self.order.identity)}") from error
        self.account.saved = step
        if self.is_world_process_zero():
            print(f"step {step}: saved in {time.monotonic() - began:.1f} s", flush=True)

    def save_model(self, output_dir: str | None = None, _internal_call: bool = False) -> None:
        """The model as an ordinary folder; a full disk is one clear line."""
        self._require_finite(wait=True)
        try:
            super().save_model(output_dir, _internal_call)
        except Exception as error:
            message = failed_to("save the model", self.order.out, error)
            raise PrunegridError(
                f"{message}; {checkpoints.intact(self.order.checkpoints, self.order.identity)}"
            ) from error
