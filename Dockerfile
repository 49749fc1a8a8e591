# `make image` makes what is copied: nothing is pulled from a registry. The program
# alone is enough (`make build`); dist/rootfs, where there is one, adds the building
# machine's CA certificates. Mount others over /etc/ssl/certs.
FROM scratch
COPY dist/remediator dist/rootf[s] /
USER 65532:65532
EXPOSE 9095
HEALTHCHECK --interval=10s --timeout=5s --retries=3 CMD ["/remediator", "health", "--config.file=/etc/remediator/config.yaml"]
ENTRYPOINT ["/remediator"]
CMD ["serve", "--config.file=/etc/remediator/config.yaml"]
