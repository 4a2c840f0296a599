"""`mailferry serve`: from the settings to a running parent with its workers."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from enum import StrEnum

from mailferry.app import copier, proxy, web
from mailferry.app.children import Job, fork_child
from mailferry.app.instance_lock import take_instance_lock
from mailferry.app.listeners import BoundListener, CannotListen, bind_listeners, close_doors
from mailferry.app.parent import Parent
from mailferry.app.preparation import prepare_folder, prepare_store, void_worker
from mailferry.app.worker import Role, WorkerContext, address_key, run_worker
from mailferry.config.faults import BadConfiguration
from mailferry.config.on_disk import faults_on_disk
from mailferry.config.settings import Settings
from mailferry.observe.log import configure_log, get_log
from mailferry.observe.metrics import forget_process
from mailferry.store.faults import StoreUnavailable


class RoleName(StrEnum):
    """What `serve --role` may name."""

    PROXY = "proxy"
    COPIER = "copier"
    WEB = "web"
    ALL = "all"


def serve(settings: Settings, config_file: str, role: RoleName = RoleName.ALL) -> int:
    """Run the service until a signal ends it; returns the exit status.

    Raises BadConfiguration, CannotListen and AlreadyRunning before anything is served.
    """
    faults = faults_on_disk(settings, config_file)
    if faults:
        raise BadConfiguration(faults)
    prepare_folder(settings.service.state_dir)
    lock = take_instance_lock(settings.service.state_dir)
    configure_log(settings.log.format, settings.log.level, role="parent", address_key=address_key(settings))
    log = get_log("parent")
    wanted = [one for one in settings.listen if _is_for(one.service.in_proxy, role)]
    if not wanted and role is not RoleName.COPIER:
        raise CannotListen(f"no [[listen]] table of the configuration is for the role {role.value}: add one")
    listeners = bind_listeners(wanted)
    status = _in_child(lambda: prepare_store(settings, log))
    if status != 0:
        return status
    doors = [one for one in listeners if one.settings.service.in_proxy]
    pages = [one for one in listeners if not one.settings.service.in_proxy]
    jobs = _jobs(settings, role, doors, pages)

    def after_death(pid: int) -> None:
        forget_process(pid)
        try:
            void_worker(settings, pid)
        except StoreUnavailable as error:
            log.error("what a dead worker left is not voided yet", dead=pid, why=str(error))
            sys.exit(1)

    def ready() -> None:
        log.info("serving", listeners=[listener.shown for listener in listeners])

    try:
        return Parent(
            jobs,
            log=log,
            after_death=after_death,
            on_ready=ready,
            on_stopping=lambda: close_doors(doors),
            on_ended=lambda role_name: close_doors(pages if role_name == RoleName.WEB else ()),
            drain_seconds=settings.service.drain_seconds,
        ).run()
    finally:
        for listener in listeners:
            listener.socket.close()
        os.close(lock)


def _is_for(in_proxy: bool, role: RoleName) -> bool:
    return role is RoleName.ALL or role is (RoleName.PROXY if in_proxy else RoleName.WEB)


def _in_child(work: Callable[[], None]) -> int:
    """Run `work` in a child, because the parent opens no database; returns its exit status."""

    def run(_pipe: int) -> None:
        try:
            work()
        except StoreUnavailable as error:
            sys.stderr.write(f"mailferry: {error}\n")
            sys.exit(1)

    child = fork_child(Job("prepare", 0, run))
    os.close(child.pipe)
    _, status = os.waitpid(child.pid, 0)
    return os.waitstatus_to_exitcode(status)


def _jobs(
    settings: Settings, role: RoleName, doors: Sequence[BoundListener], pages: Sequence[BoundListener]
) -> list[Job]:
    def job(
        name: str,
        number: int,
        build: Callable[[WorkerContext], Role],
        *,
        asyncio: bool = False,
        niceness: int = 0,
    ) -> Job:
        def run(pipe: int) -> None:
            os.nice(niceness)
            run_worker(name, number, settings, pipe, build, asyncio=asyncio)

        return Job(name, number, run)

    jobs = []
    if role in {RoleName.PROXY, RoleName.ALL} and doors:
        for number in range(settings.service.proxy_processes):
            jobs.append(job("proxy", number, lambda context: proxy.build(context, doors)))
    if role in {RoleName.COPIER, RoleName.ALL}:
        for number in range(settings.service.copier_processes):
            # logins come first where the processor is busy
            jobs.append(job("copier", number, copier.build, niceness=settings.copy_.niceness))
    if role in {RoleName.WEB, RoleName.ALL} and pages:
        jobs.append(job(RoleName.WEB, 0, lambda context: web.build(context, pages), asyncio=True))
    return jobs
