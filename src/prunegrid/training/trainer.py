"""The Hugging Face Trainer with our batches, loss and checkpoints; everything else is the library's."""

import shutil
import signal
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader
from transformers import Trainer

from prunegrid.core.errors import PrunegridError
from prunegrid.models.head import Head
from prunegrid.models.probes import check_isolated, check_reads_positions
from prunegrid.training import checkpoints
from prunegrid.training.counters import Counters
from prunegrid.training.failures import RESUMES
from prunegrid.training.finite import StepNumbers
from prunegrid.training.job import Order
from prunegrid.training.loss import Inputs, collate, to_device, total_nll
from prunegrid.training.loss_scale import divisors, step_divisor, with_equal_weight
from prunegrid.training.processes import launcher_is_gone
from prunegrid.training.rank_failures import cause, failed_write
from prunegrid.training.samples import Examples
from prunegrid.training.schedule import forward_passes, total_steps
from prunegrid.training.signals import STOP_SIGNALS

PEER_SECONDS = 2  # in which another rank can report that it is its loss that is not finite
LOWER_RATE = "lower training.learning_rate or look at these samples"


class PrunedTrainer(Trainer):
    """Loss = sum(weight x NLL) over trainable tokens / trainable tokens of the whole accumulated global batch, unless
    `training` asks for another divisor (`loss_scale`).

    One of the Trainer's batches is a whole optimizer step, whose examples come from `examples`. How many forward
    passes they take is decided here. `fallbacks` says which optional kernels are not used, and why.

    Between two passes nothing waits for the device. Whether a step's losses and gradient are finite is known after its
    optimizer step, at the latest in the step after it, and always before anything is saved.
    """

    def __init__(
        self, *, order: Order, examples: Examples, counters: Counters, fallbacks: dict[str, str], **kwargs: Any
    ) -> None:
        super().__init__(train_dataset=range(examples.timetable.steps), **kwargs)
        self.order, self.examples, self.counters, self.fallbacks = order, examples, counters, fallbacks
        self.causal = self.accelerator.unwrap_model(self.model)
        if order.job.training.method == "lora":
            self.causal = self.causal.get_base_model()
        self.loss_is_scaled_for_ga = True
        self.stop_signal: int | None = None
        self.launcher: int | None = None
        self.model_checked = False
        self.last_step: StepNumbers | None = None
        self.current: list[int] = []
        for number in STOP_SIGNALS:
            signal.signal(number, self._note_stop)

    def _note_stop(self, number: int, _: Any) -> None:
        self.stop_signal = number

    def get_train_dataloader(self) -> DataLoader[Any]:
        # Step numbers alone: accelerate reads one item ahead, and a step's samples may depend on the one before it.
        steps = [[step] for step in self.train_dataset]
        return DataLoader(self.train_dataset, batch_sampler=steps, collate_fn=lambda items: items[0])

    def gather_numbers(self, *numbers: int) -> list[list[int]]:
        """The numbers of every rank."""
        if self.args.world_size == 1:
            return [[*numbers]]
        own_row = torch.tensor([numbers], dtype=torch.int64, device=self.args.device)
        rows: list[list[int]] = self.accelerator.gather(own_row).tolist()
        return rows

    def maximum(self, number: int) -> int:
        """Over all ranks."""
        return max(row[0] for row in self.gather_numbers(number))

    def call_model(self, run: Callable[[], Any]) -> Any:
        """run() within a call of the wrapped model in evaluation mode."""
        self.model_wrapped.eval()
        return self.model_wrapped(run=run)

    def get_batch_samples(
        self, epoch_iterator: Iterator[Any], num_batches: int, device: torch.device
    ) -> tuple[list[Any], float]:
        """The step's forward passes, as many on every rank, and what the loss of all ranks is divided by."""
        self._restore_unlogged_loss()
        self._require_finite(wait=self.order.job.pruning is not None)  # its scores would be NaN
        self._stop_if_asked()
        training, step, self.current = self.order.job.training, next(epoch_iterator), []
        try:
            examples = self.examples.take(step)
        except PrunegridError as error:
            raise PrunegridError(f"step {step + 1}: {error.where}", error.what, error.fix) from error
        passes = forward_passes(with_equal_weight(examples, training), training, self.order.halvings)
        counts = divisors(examples, training)
        rows = np.array(self.gather_numbers(sum(counts), sum(map(bool, counts)), len(passes)))
        tokens, micro_batches, _ = rows.sum(0).tolist()
        if not tokens and training.loss_divisor == "trained_tokens":
            raise self._untrainable(sum(map(len, examples)))
        passes += [[]] * (max(1, rows[:, 2].max()) - len(passes))
        inputs = [collate(examples_of_pass, training.packing) for examples_of_pass in passes]
        self.counters.count(examples, inputs)
        return [inputs], step_divisor(tokens, micro_batches, training)

    def _untrainable(self, samples: int) -> PrunegridError:
        training = self.order.job.training
        batch = training.per_device_train_batch_size * training.gradient_accumulation_steps * training.ranks
        problem = f"has no trainable token: pruning left {samples} samples of {batch}"
        keys = "training.per_device_train_batch_size x gradient_accumulation_steps x ranks"
        fix = f"set a larger global batch ({keys}) or a larger sample_ratio"
        return PrunegridError(f"step {self.state.global_step + 1}", problem, fix)

    def _restore_unlogged_loss(self) -> None:
        """At this attempt's first step, continue the running sum of losses from the checkpoint.

        The Trainer sums losses in `_tr_loss` and logs their mean since step `_globalstep_last_logged`, but saves
        neither: without them the first value that a resumed job logs would lack the steps before the kill. It also
        takes `save_steps` from the checkpoint's state, where the user may have changed it since.
        """
        if self.counters.start is None and self.counters.saved:
            self._tr_loss += self.counters.unlogged[0]
            self._globalstep_last_logged = self.counters.unlogged[1]
            self.state.compute_steps(self.args, self.examples.timetable.steps)
        self.counters.begin()

    def create_scheduler(self, num_training_steps: int, optimizer: Any = None) -> Any:
        """The learning-rate schedule, laid out for the steps taken or for those of all the data."""
        training = self.order.job.training
        if training.scheduler_steps == "full":
            num_training_steps = total_steps(self.examples.candidates, training)
        return super().create_scheduler(num_training_steps, optimizer)

    def training_step(self, model: Any, inputs: Any, num_items_in_batch: Any = None) -> torch.Tensor:
        """Forward and backward of all passes; gradients are reduced and the weights changed with the last."""
        if not self.model_checked:
            self._check_model()
        losses = []
        for number, pass_inputs in enumerate(inputs, start=1):
            self.accelerator.gradient_state._set_sync_gradients(number == len(inputs))
            self.current = pass_inputs["sample_ids"]
            losses.append(super().training_step(model, pass_inputs, num_items_in_batch))
        # The step before: its values have arrived, since DeepSpeed has waited for this step's norm.
        self._require_finite(wait=True)
        samples = [pass_inputs["sample_ids"] for pass_inputs in inputs]
        self.last_step = StepNumbers(self.state.global_step + 1, losses, model.get_global_grad_norm(), samples)
        self._require_finite(wait=False)
        return sum(losses, start=torch.zeros((), device=self.args.device))

    def _require_finite(self, wait: bool) -> None:
        """End the job if the last step's losses or gradient are not finite: at once if known, else only if `wait`."""
        if self.last_step is None or not (wait or self.last_step.arrived):
            return
        last_step, self.last_step = self.last_step, None
        if problem := last_step.problem():
            message, samples = problem
            if "gradient" in message and self.args.world_size > 1:
                time.sleep(PEER_SECONDS)  # a rank whose loss is not finite names its samples better
            ids = f"{', '.join(map(str, samples[:8]))}{', ...' if len(samples) > 8 else ''}"
            raise PrunegridError(f"step {last_step.step}", f"{message} (sample_id {ids})", LOWER_RATE)

    def _prepare_inputs(self, inputs: Inputs) -> Inputs:
        """The Trainer would wait for each copy, and round the samples' weights to the model's precision."""
        return to_device(inputs, self.args.device)

    def _clip_grad_norm(self, model: Any) -> Any:
        return model.get_global_grad_norm()

    def _get_grad_norm(self, model: Any, grad_norm: Any = None) -> Any:
        """The norm that is logged; the Trainer would wait for it even in steps that it does not log."""
        return model.get_global_grad_norm()

    def _check_model(self) -> None:
        """Refuse a model that the job would train wrongly: one whose logits are not its head's own, whose packed
        samples see each other, or that ignores the position ids in which `removal: drop` leaves gaps."""
        self.model_checked = True
        self.call_model(partial(Head, self.causal))
        if self.order.job.training.packing:
            self.call_model(partial(check_isolated, self.causal))
        if self.order.job.training.removal == "drop":
            self.call_model(partial(check_reads_positions, self.causal))

    def compute_loss(
        self, model: Any, inputs: Any, return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        """This pass's share of the global loss, times the ranks, since gradients are averaged over them."""
        total = model(run=partial(total_nll, self.causal, inputs))
        return total / num_items_in_batch * self.accelerator.num_processes

    def _check_weights(self) -> None:
        """Refuse to save weights that no run can resume from; at ZeRO 0 DeepSpeed reports no gradient norm."""
        shards = (getattr(parameter, "ds_tensor", parameter) for parameter in self.model.parameters())
        finite = torch.stack([shard.isfinite().all() for shard in shards]).all()
        if self.maximum(not finite):
            problem = f"the weights are not finite after this step; {self._saved_progress()}"
            raise PrunegridError(f"step {self.state.global_step}", problem, "lower training.learning_rate")

    def _saved_progress(self) -> str:
        return checkpoints.saved_progress(self.order.checkpoints, self.order.identity)

    def _stop_if_asked(self) -> None:
        """Save and end between two steps if any rank was asked to stop; all ranks agree on it here."""
        if self.is_world_process_zero() and self.launcher is not None and launcher_is_gone(self.launcher):
            self.stop_signal = signal.SIGHUP
        number = self.maximum(self.stop_signal or 0)
        if number:
            step = self.state.global_step
            if step > self.counters.saved:
                self._save_checkpoint(self.model_wrapped, None)
            reached = f"stopped by {signal.Signals(number).name} after step {step} of {self.examples.timetable.steps}"
            raise PrunegridError("training", f"{reached}, which is saved" if step else reached, RESUMES if step else "")

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        """Weights, optimizer, scheduler, random states, position and counts, written aside and then renamed."""
        self._require_finite(wait=True)
        folder, step, start = self.order.checkpoints, self.state.global_step, time.monotonic()
        self._check_weights()
        try:
            self._write_checkpoint(step)
        except (OSError, RuntimeError) as error:
            if cause(error) in ("memory", "lost"):
                raise
            saved = self._saved_progress()
            failure = failed_write(f"save step {step}", folder, error, saved)
            shutil.rmtree(checkpoints.saving_folder(folder, step), ignore_errors=True)
            raise failure from error
        self.counters.saved = step
        if self.is_world_process_zero():
            print(f"step {step}: saved in {time.monotonic() - start:.1f} s", flush=True)

    def _write_checkpoint(self, step: int) -> None:
        temporary = checkpoints.saving_folder(self.order.checkpoints, step)
        temporary.mkdir(parents=True, exist_ok=True)
        self.counters.unlogged = (float(self._tr_loss), self._globalstep_last_logged)
        self._save_optimizer_and_scheduler(str(temporary))
        self._save_rng_state(str(temporary))
        self.counters.save(temporary)
        if self.is_world_process_zero():
            self.state.save_to_json(str(temporary / "trainer_state.json"))
        self.accelerator.wait_for_everyone()
        if self.is_world_process_zero():
            checkpoints.commit(self.order.checkpoints, step, self.order.identity)
        self.accelerator.wait_for_everyone()

    def save_model(self, output_dir: str | None = None, _internal_call: bool = False) -> None:
        """The model as an ordinary folder."""
        self._require_finite(wait=True)
        try:
            super().save_model(output_dir, _internal_call)
        except Exception as error:
            raise failed_write("save the model", self.order.out, error, self._saved_progress()) from error
