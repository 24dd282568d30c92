"""A dozen calls with a client of openapi-python-client."""

import io
import os
import time
from http import HTTPStatus

from runner_client.api.batches import create_batch, execute_batch, get_batch, get_batch_results
from runner_client.api.files import upload_file
from runner_client.api.scheduled_tasks import create_scheduled_task
from runner_client.api.status import get_status, list_models
from runner_client.api.tasks import create_task, execute_task, get_task, list_tasks
from runner_client.client import AuthenticatedClient
from runner_client.models import (
    BatchCreation,
    CreateBatchResponse201,
    CreateScheduledTaskResponse201,
    ErrorAnswer,
    ExecuteTaskResponse200,
    FileUpload,
    GetBatchResponse200,
    GetStatusResponse200,
    ListModelsResponse200,
    ListTasksResponse200,
    ScheduledTaskCreation,
    Task,
    TaskCreation,
    TaskExecuteOptions,
    UploadFileResponse201,
)
from runner_client.types import File

client = AuthenticatedClient(base_url=os.environ["SERVER_URL"], token=os.environ["SERVER_KEY"])
ID = "python-1"
BATCH = "python-b"

made = create_task.sync_detailed(client=client, body=TaskCreation(id=ID, prompt="Say hello."))
assert made.status_code == HTTPStatus.CREATED

page = list_tasks.sync(client=client, limit=1, page=1)
assert isinstance(page, ListTasksResponse200)
assert len(page.data.tasks) == 1 and page.data.pagination.limit == 1

ran = execute_task.sync(
    ID, client=client, body=TaskExecuteOptions(), is_dry_run=True, prefer="wait=20"
)
assert isinstance(ran, ExecuteTaskResponse200) and isinstance(ran.data, Task)
assert ran.data.result is not None and ran.data.result.content

upload = upload_file.sync(
    client=client,
    body=FileUpload(file=File(payload=io.BytesIO(b"prompt\none\ntwo\n"), file_name="python.csv")),
)
assert isinstance(upload, UploadFileResponse201)
batch = create_batch.sync(
    client=client, body=BatchCreation(id=BATCH, input_file=upload.data.id)
)
assert isinstance(batch, CreateBatchResponse201) and batch.data.task_count == 2
execute_batch.sync_detailed(BATCH, client=client)
for _ in range(400):
    state = get_batch.sync(BATCH, client=client)
    assert isinstance(state, GetBatchResponse200)
    if state.data.status == "completed":
        break
    time.sleep(0.025)
else:
    raise AssertionError("the batch did not end in time")

results = get_batch_results.sync_detailed(BATCH, client=client, safe=True)
assert results.status_code == HTTPStatus.OK and len(results.content.splitlines()) == 3

missing = get_task.sync("none", client=client)
assert isinstance(missing, ErrorAnswer) and missing.error.code == "TASK_NOT_FOUND"

twice = create_task.sync(client=client, body=TaskCreation(id=ID, prompt="Another."))
assert isinstance(twice, ErrorAnswer) and twice.error.code == "TASK_ALREADY_EXISTS"

wrong = create_task.sync(client=client, body=TaskCreation(prompt=""))
assert isinstance(wrong, ErrorAnswer) and wrong.error.code == "VALIDATION_ERROR"

status = get_status.sync(client=client)
assert isinstance(status, GetStatusResponse200) and status.data.services.database == "healthy"

models = list_models.sync(client=client)
assert isinstance(models, ListModelsResponse200)
assert models.data.models and all(one.price is None or one.price.input_ >= 0 for one in models.data.models)

schedule = create_scheduled_task.sync(
    client=client,
    body=ScheduledTaskCreation(
        name="python", schedule="0 9 * * *", input_file="python.csv", is_active=False
    ),
)
assert isinstance(schedule, CreateScheduledTaskResponse201) and not schedule.data.is_active
