"""All fuzz targets, in the order in which ``make fuzz`` runs them."""

from __future__ import annotations

from fuzz import control_targets, file_targets, handshake_target, mesh_target, quic_targets, token_target, wire_targets

TARGETS = (
    wire_targets.frames_target,
    wire_targets.data_packets_target,
    wire_targets.updates_target,
    wire_targets.advertisements_target,
    wire_targets.reports_target,
    mesh_target.mesh_target,
    quic_targets.quic_wire_target,
    quic_targets.quic_datagrams_target,
    quic_targets.quic_strangers_target,
    handshake_target.quic_handshakes_target,
    control_targets.control_lines_target,
    control_targets.client_answers_target,
    control_targets.numbered_messages_target,
    control_targets.node_answers_target,
    token_target.tokens_target,
    file_targets.used_tokens_target,
    file_targets.status_files_target,
    file_targets.start_records_target,
    file_targets.exit_records_target,
    file_targets.submissions_target,
    file_targets.configurations_target,
)
