"""Builders of tasks, by kind of job: each is a function (draft, number of the job, job) -> tasks."""
