//go:build tools

// Package helm pins Helm, which stands on another release of Kubernetes than the control plane beside it.
package helm

import _ "helm.sh/helm/v4/cmd/helm"
