"""`python train_job.py` in a job's folder: train as `job.json` says."""

from pathlib import Path

from prunegrid.training import Job, train

if __name__ == "__main__":
    job = Job.model_validate_json(Path("job.json").read_text())
    train(job, Path("model"), Path("training.json"))
