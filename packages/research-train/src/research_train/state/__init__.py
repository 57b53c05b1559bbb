"""What a resume needs: all that a training holds between two steps."""
